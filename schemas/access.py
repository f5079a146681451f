"""Who may ask the API for what."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final, NamedTuple

LONGEST_NAME: Final = 100
NAME: Final = r"^[A-Za-z0-9._@-]{1,100}$"
"""Of an account or a token."""


class Right(StrEnum):
    """What somebody may do; each stands for itself, but `admin` for all."""

    READ = "read"
    LABEL = "label"
    DECIDE = "decide"
    SEND = "send"
    ADMIN = "admin"


class Caller(NamedTuple):
    """Who asks: a person who is logged in, or a program with a token."""

    name: str
    rights: frozenset[Right]
    users: frozenset[str] | None = None
    """The only users whose transactions they may know of; None: all."""

    def may(self, right: Right) -> bool:
        """Whether they have it.

        >>> Caller("ann", frozenset([Right.READ])).may(Right.LABEL)
        False
        >>> Caller("eve", frozenset([Right.ADMIN])).may(Right.LABEL)
        True
        """
        return right in self.rights or Right.ADMIN in self.rights


def rights_of(texts: Collection[str]) -> frozenset[Right]:
    """Rights by name, without those that this program does not know."""
    return frozenset(Right(text) for text in texts if text in set(Right))
