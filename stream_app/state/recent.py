"""The windows written last, kept encoded in memory: users who come again are not looked up in RocksDB."""

from collections.abc import Iterable, Sequence

ENTRY_BYTES = 700  # a key, a window of 20 transactions, and their place in a dictionary


class RecentValues:
    """Values by key, a bounded number of them; those that have not been put for longest go first.

    Two generations in place of an order: when the young one is full it becomes the old one, and the former
    old one is dropped as a whole.

    >>> recent = RecentValues()
    >>> recent.put([(b"a", b"1"), (b"b", b"2")], most=4)
    >>> recent.put([(b"c", b"3"), (b"a", b"4")], most=4)
    >>> recent.put([(b"d", b"")], most=4)
    >>> recent.get([b"a", b"b", b"c", b"d"])
    [b'4', None, b'3', b'']
    """

    def __init__(self) -> None:
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where it is not here."""
        old = self._old
        values = [*map(self._young.get, keys)]
        return [old.get(key) if value is None else value for key, value in zip(keys, values, strict=True)]

    def put(self, items: Iterable[tuple[bytes, bytes]], most: int) -> None:
        """Keep these, and of all some `most`."""
        self._young.update(items)
        if len(self._young) >= most / 2:
            self._old, self._young = self._young, {}
