"""The windows written last, kept encoded in memory: users who come again are not looked up in RocksDB."""

from collections.abc import Iterable, Sequence

ENTRY_BYTES = 700  # a key, a window of 20 transactions, and their place in a dictionary

Value = bytes | None


class RecentValues:
    """Values by key, a bounded number of them; those that have not been put for longest go first.

    Two generations in place of an order: when the young one is full it becomes the old one, and the former
    old one is dropped as a whole.

    >>> recent = RecentValues()
    >>> recent.put([(b"a", b"1"), (b"b", b"2")], most=4)
    >>> recent.put([(b"c", b"3"), (b"a", b"4")], most=4)
    >>> recent.put([(b"d", None)], most=4)
    >>> recent.known([b"a", b"b", b"c", b"d"])
    {b'a': b'4', b'c': b'3', b'd': None}
    """

    def __init__(self) -> None:
        self._young: dict[bytes, Value] = {}
        self._old: dict[bytes, Value] = {}

    def known(self, keys: Sequence[bytes]) -> dict[bytes, Value]:
        """The values of those keys that are here."""
        young, old = self._young, self._old
        return {key: young[key] if key in young else old[key] for key in keys if key in young or key in old}

    def put(self, items: Iterable[tuple[bytes, Value]], most: int) -> None:
        """Keep these, None for a key without a value, and of all some `most`."""
        self._young.update(items)
        if len(self._young) >= most / 2:
            self._old, self._young = self._young, {}
