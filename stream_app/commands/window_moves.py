"""Users' windows that belong to another partition than they are on, once there are more partitions."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from infra.runtime.partitioners import Partitioner
from stream_app.state.store import WindowStore
from stream_app.window import Window, encode_window

Place = tuple[int, int, str, Window]
"""A window's partition, the one that its user now belongs to, the user and the window."""
Changes = Mapping[int, list[tuple[bytes, bytes | None]]]
"""By partition, what is kept under each key; None: nothing any longer."""


@dataclass(slots=True)
class WindowMoves:
    """Moves what `windows` has to where a partitioner puts it; `begins` has where each partition goes on."""

    windows: WindowStore
    partitioner: Partitioner
    begins: Mapping[int, int]
    _moved: dict[str, tuple[int, bool, int]] = field(default_factory=dict, init=False)
    """By user how long the window is that was moved: of two the longer is kept, also if none is at home."""

    def places(self, partitions: Iterable[int]) -> Iterator[Place]:
        """Each window of these, with the partition that it is on, and the one that is its user's now."""
        for number in partitions:
            for user, window in self.windows.windows(number):
                yield number, self.partitioner.of(user.encode()), user, window

    def changes(self, places: Iterable[Place]) -> Changes:
        """What brings windows from one place to another."""
        changes: defaultdict[int, list[tuple[bytes, bytes | None]]] = defaultdict(list)
        for before, to, user, window in places:
            key = user.encode()
            changes[before].append((key, None))
            if _length(window) > self._moved.get(user, _length(self._window_on(to, user))):
                self._moved[user] = _length(window)
                # What was finished of another partition says nothing of this one's offsets.
                window.last_offset = self.begins[to] - 1
                changes[to].append((key, encode_window(window)))
        return changes

    def _window_on(self, number: int, user: str) -> Window:
        """What the user has on a partition by now, where messages came while it was not noticed."""
        return self.windows.load(number, [user])[user] if number in self.windows.partitions else Window()


def _length(window: Window) -> tuple[int, bool, int]:
    return window.count, bool(window.recent), window.updated_at
