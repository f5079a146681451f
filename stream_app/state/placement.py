"""Whether users are on the partitions that they belong on, by the keys of the messages that arrive."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from infra.runtime.partitioners import ENOUGH, Fit, Name, Placed, best_fit, partition_of
from schemas.placement import Placement
from stream_app.batch import Batch

log = logging.getLogger(__name__)

# So many keys of a large batch are looked at, and all of a small one. A key not seen before costs 10 µs.
_LOOKED_AT = 50
_KEY_BYTES = 36  # of any other length it is refused
_REMEMBERED_USERS = 10_000  # twice as many with those of before, some 4 MB
_SAID_EVERY_SECONDS = 600.0


class KeyPlacement:
    """Looks at some keys of each batch, counts those that belong elsewhere, and says so.

    With `auto` the first keys decide where keys belong; before that, `name` is None.
    """

    def __init__(
        self,
        partitioner: Name | Literal["auto"],
        count: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name: Name | None = None if partitioner == "auto" else partitioner
        self.misplaced = 0
        """How many users were seen on a partition that they do not belong on.

        One who comes back after 10,000 others or more may count again.
        """
        self._count = count
        self._clock = clock
        self._seen: set[Placed] = set()
        self._seen_before: set[Placed] = set()
        self._newest: deque[Placed] = deque(maxlen=2 * _LOOKED_AT)
        self._say_after = clock()

    def look(self, batch: Batch, partitions: int) -> None:
        """Look at keys of a batch of one of so many partitions."""
        placed = self._fresh(batch)
        if not placed or partitions == 1:
            return
        self._newest += placed
        if self.name is None:
            placed = self._learned_from(partitions)
        misplaced = self._misplaced(placed, partitions)
        self.misplaced += len(misplaced)
        self._count(len(misplaced))
        if misplaced and self._clock() >= self._say_after:
            self._say_after = self._clock() + _SAID_EVERY_SECONDS
            log.warning("%s", self._remedy(batch, *misplaced[0], partitions))

    def seen(self) -> Placement:
        """What was seen until now."""
        return Placement(self.name, self.misplaced)

    def _fresh(self, batch: Batch) -> Sequence[Placed]:
        """Users of the batch who were not looked at on its partition before."""
        records = batch.records[:: len(batch.records) // _LOOKED_AT + 1]
        keys = {record.key for record in records}
        found = {(key, batch.partition) for key in keys if key is not None and len(key) == _KEY_BYTES}
        fresh = found - self._seen - self._seen_before
        if len(self._seen) > _REMEMBERED_USERS:
            self._seen, self._seen_before = set(), self._seen
        self._seen |= found  # also those seen before, so that whoever keeps coming is not forgotten
        return list(fresh)

    def _misplaced(self, placed: Sequence[Placed], partitions: int) -> Sequence[Placed]:
        if self.name is None:
            return ()
        return [(key, at) for key, at in placed if partition_of(self.name, key, partitions) != at]

    def _learned_from(self, partitions: int) -> Sequence[Placed]:
        """The keys that decided which partitioner it is; none while they are too few."""
        if len(self._newest) < ENOUGH:
            return ()
        fit = best_fit(self._newest, partitions)
        self.name = fit.name
        log.info("TXNWATCH_PARTITIONER=auto: %s fits %d of the first %d users", *fit)
        return list(self._newest)

    def _remedy(self, batch: Batch, key: bytes, partition: int, partitions: int) -> str:
        assert self.name is not None  # noqa: S101 - nothing is misplaced before it is known
        found = [one.offset for one in batch.records if (one.key, batch.partition) == (key, partition)]
        of = f"of offset {found[0]} " if found else ""
        return (
            f"a user {of}is on partition {partition}, but {self.name} "
            f"(TXNWATCH_PARTITIONER) puts it on {partition_of(self.name, key, partitions)}; {self.misplaced} "
            "users are elsewhere so far. A user on two partitions has two windows, each of a part. "
            f"{self._advice(best_fit(self._newest, partitions))} (docs/producers.md)"
        )

    def _advice(self, fit: Fit) -> str:
        if fit.name == self.name or not fit.is_clear:
            return "Have all producers use one partitioner"
        fits = f"{fit.name} fits {fit.fitting} of the last {fit.keys} users"
        return f"{fits}: if all producers use it, set TXNWATCH_PARTITIONER={fit.name}"
