"""Sinks that TXNWATCH_SINKS leaves out: they take everything and keep nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from stream_app.scoring import Verdict
from stream_app.scoring.filling import Filling
from stream_app.sinks.postgres import TakenOver
from stream_app.window import Window


class NoRows:
    """In place of `PostgresRows`."""

    async def take_over(self, _partition: int) -> TakenOver:
        """No epoch, and no offset that rows have reached."""
        return TakenOver(0, 0)

    async def remember(self, partition: int, topics: bytes) -> None:
        """Nothing is kept."""

    async def hold(self, partition: int, epoch: int, settings: str, from_offset: int) -> None:
        """There are no verdicts to be proven."""

    def expect(self, partition: int, finished: int) -> None:
        """Nothing is stored that could be missing."""

    async def note_applied(self, partition: int, epoch: int, seqs: Sequence[int], from_offset: int) -> None:
        """What the partition has applied is in its changelog."""

    async def past(self, _users: Sequence[str], _since: datetime, begin: Callable[[], Filling]) -> Filling:
        """Nothing is known of anybody."""
        return begin()

    async def write(self, _partition: int, _epoch: int, verdicts: Sequence[Verdict], _offset: int) -> int:
        """All count as new."""
        return len(verdicts)


class NoMirror:
    """In place of `RedisMirror`."""

    def follow_topic(self, topic_id: str) -> None:
        """Nothing is named after it."""

    def put(self, partition: int, windows: Mapping[str, Window]) -> None:
        """Nothing to note."""

    def detach(self, partition: int) -> None:
        """Nothing is pending."""

    async def follow(self, partition: int, windows: Callable[[], Iterable[tuple[str, Window]]]) -> None:
        """Nothing to follow."""
