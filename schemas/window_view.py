"""A user's window as people read it: the worker's web views, the mirror in Redis and the API's answer."""

import msgspec

from schemas.text import Moment, Money, Uuid


class CurrencyWindow(msgspec.Struct, frozen=True):
    """The window of one of a user's currencies."""

    count: int
    mean: Money
    sum: Money
    amounts: list[Money]


class FlagStarts(msgspec.Struct, frozen=True):
    """Where flags start for a user's next transaction in a currency, as the worker has it."""

    updated_at: Moment
    flags_from: dict[str, Money]
    """By detector, of those that can say it, the least amount that would be flagged right after the last."""


class Stats(msgspec.Struct, frozen=True, omit_defaults=True):
    """The window that this user's next transaction is scored against.

    Money is decimal text; `amounts` is newest first; `last_offset` is the source offset of the
    user's last transaction. Of a user with several currencies it is the window of the one used last, and
    `currencies` has the window of each, that one's first.
    """

    user_id: Uuid
    count: int
    mean: Money
    sum: Money
    amounts: list[Money]
    last_offset: int
    updated_at: Moment
    currencies: dict[str, CurrencyWindow] = {}
