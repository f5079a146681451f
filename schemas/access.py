"""Who may ask the API for what."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final, NamedTuple

LONGEST_NAME: Final = 100
NAME: Final = r"^[A-Za-z0-9._@-]{1,100}$"
"""Of an account or a token."""


class Scope(StrEnum):
    """What somebody may do; each stands for itself, but `admin` for all."""

    READ = "read"
    LABEL = "label"
    DECIDE = "decide"
    SEND = "send"
    ADMIN = "admin"


class Caller(NamedTuple):
    """Who asks: a person who is logged in, or a program with a token."""

    name: str
    scopes: frozenset[Scope]
    users: frozenset[str] | None = None
    """The only users whose transactions they may know of; None: all."""

    def may(self, scope: Scope) -> bool:
        """Whether they have it.

        >>> Caller("ann", frozenset([Scope.READ])).may(Scope.LABEL)
        False
        >>> Caller("eve", frozenset([Scope.ADMIN])).may(Scope.LABEL)
        True
        """
        return scope in self.scopes or Scope.ADMIN in self.scopes


def scopes_of(texts: Collection[str]) -> frozenset[Scope]:
    """Scopes by name, without those that this program does not know."""
    return frozenset(Scope(text) for text in texts if text in set(Scope))
