"""Windows of any number of users in bounded memory: those used longest ago wait in RocksDB."""

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from struct import Struct
from typing import Self

import msgspec

from schemas.transaction import Transaction
from stream_app.state.store import WindowStore
from stream_app.window import Window, encode_window

_MOST = 100_000  # of a generation: both together take some 200 MB
_PARTITION = 0
_ENTRY = Struct("<q4xq").pack
_PACKED = msgspec.msgpack.Encoder().encode
_ENCODE = msgspec.json.Encoder(order="deterministic").encode
_CACHE_BYTES, _BUFFER_BYTES = 16 << 20, 32 << 20


class BoundedWindows:
    """Each user's window, made when it is first asked for; a context manager, at whose end all are gone.

    Two generations in place of an order: when the young one is full it becomes the old one, and the windows
    of the former old one go to a temporary folder, which TMPDIR names.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._young: dict[str, Window] = {}
        self._old: dict[str, Window] = {}
        self._store: WindowStore | None = None
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._opened.close()

    def of(self, users: Iterable[str]) -> dict[str, Window]:
        """Windows, those of these users among them, to be changed in place until the next call."""
        users = {*users}
        if missing := users.difference(self._young):
            if len(self._young) + len(missing) > self._most:
                self._turn()
                missing = users
            self._young.update(self._older(missing))
        return self._young

    def _older(self, users: Iterable[str]) -> dict[str, Window]:
        old = self._old
        found = {user: old.pop(user) for user in users if user in old}
        new = [user for user in users if user not in found]
        stored = (
            {user: Window() for user in new} if self._store is None else self._store.load(_PARTITION, new)
        )
        return found | stored

    def _turn(self) -> None:
        """Let the young ones become the old ones."""
        if self._old:
            store = self._store = self._store or self._open()
            items = [(user.encode(), encode_window(window)) for user, window in sorted(self._old.items())]
            store.write(_PARTITION, items, 0)
        self._old, self._young = self._young, {}

    def _open(self) -> WindowStore:
        folder = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="txnwatch-"))
        store = WindowStore(Path(folder), cache_bytes=_CACHE_BYTES, buffer_bytes=_BUFFER_BYTES)
        store.open(_PARTITION)
        self._opened.callback(store.close, _PARTITION)
        return store


def quick_entries(transactions: Sequence[Transaction], _identities: Sequence[bytes] = ()) -> list[bytes]:
    """What `stream_app.window.recent.entries_of` makes, at a third of the cost: good in this process alone.

    Python's hashes of the id and of all else stand for them, and there is no date to be read again.
    """
    return [
        _ENTRY(
            hash(one.id),
            hash(
                (
                    one.amount,
                    one.currency,
                    _PACKED(one.txn_date),  # the hash of a date takes three times as long
                    one.status,
                    _ENCODE(one.meta_data) if one.meta_data else None,
                    one.merchant_id,
                    one.card_id,
                    one.country,
                    one.channel,
                )
            ),
        )
        for one in transactions
    ]
