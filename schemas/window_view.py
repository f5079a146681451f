"""A user's window as people read it: the worker's web views, the mirror in Redis and the API's answer."""

import msgspec


class Stats(msgspec.Struct, frozen=True):
    """The window that this user's next transaction is scored against.

    Money is decimal text; `amounts` is newest first; `last_offset` is the source offset of the
    newest of them.
    """

    user_id: str
    count: int
    mean: str
    sum: str
    amounts: list[str]
    last_offset: int
    updated_at: str
