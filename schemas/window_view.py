"""A user's window as people read it: the worker's web views, the mirror in Redis and the API's answer."""

import msgspec

from schemas.text import Moment, Money, Uuid


class Stats(msgspec.Struct, frozen=True):
    """The window that this user's next transaction is scored against.

    Money is decimal text; `amounts` is newest first; `last_offset` is the source offset of the
    newest of them.
    """

    user_id: Uuid
    count: int
    mean: Money
    sum: Money
    amounts: list[Money]
    last_offset: int
    updated_at: Moment
