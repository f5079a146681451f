"""The bodies of the answers."""

from collections.abc import Sequence

import msgspec

from api.reading.window_reader import Stats
from schemas.scored import Scored

__all__ = [
    "Dependency",
    "Health",
    "Readiness",
    "Stats",
    "TransactionsPage",
    "UsersPage",
]


class Health(msgspec.Struct, frozen=True):
    """Said while the process lives."""

    health: str = "ok"


class Dependency(msgspec.Struct, frozen=True, omit_defaults=True):
    """One dependency: `up`, or `down` with what is wrong."""

    state: str
    detail: str = ""


class Readiness(msgspec.Struct, frozen=True):
    """Whether requests can be served: Postgres and Kafka have to answer, Redis need not."""

    ready: bool
    dependencies: dict[str, Dependency]


class UsersPage(msgspec.Struct, frozen=True):
    """Users in the order of their ids; `cursor` is empty only when the page is."""

    users: Sequence[str]
    cursor: str


class TransactionsPage(msgspec.Struct, frozen=True):
    """Rows newest first, ties by id; `cursor` is empty only when the page is.

    Describes what handlers.py puts together of the rows as Postgres wrote them.
    """

    transactions: list[Scored]
    cursor: str
