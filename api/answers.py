"""The bodies of the answers. The types that hold rows twice: as they are sent, and as they are described."""

from collections.abc import Sequence

import msgspec

from api.queries import Row
from api.windows import Stats
from schemas.scored import Scored

__all__ = [
    "Dependency",
    "Health",
    "Readiness",
    "RowsPage",
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


class RowsPage(msgspec.Struct, frozen=True):
    """`TransactionsPage` with the rows' `meta_data` as JSON text."""

    transactions: Sequence[Row]
    cursor: str


class TransactionsPage(msgspec.Struct, frozen=True):
    """Rows newest first, ties by id; `cursor` is empty only when the page is."""

    transactions: list[Scored]
    cursor: str
