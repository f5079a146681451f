"""How much a run of the measurements does."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Options:
    """`count` transactions of `users` users, `rounds` laps of each; `seconds` of each rate of latency.

    `full` gives the whole topic also to peers that otherwise get half of it, to save time.
    """

    count: int = 1_000_000
    users: int = 100_000
    rounds: int = 3
    seconds: float = 10
    full: bool = False

    @classmethod
    def quick(cls) -> Self:
        """Enough to see that everything runs, in a few minutes; not for quoting."""
        return cls(count=50_000, users=5_000, rounds=1, seconds=4)

    @property
    def spared(self) -> int:
        """How many transactions a peer gets that is not slow, but takes time."""
        return self.count if self.full else self.count // 2

    def setting(self, count: int | None = None) -> str:
        """What stands below a table."""
        return (
            f"{count or self.count:,} JSON transactions of about 180 bytes, {self.users:,} users, "
            f"4 partitions, lz4; {self.rounds} round{'s' if self.rounds > 1 else ''} in turn, medians"
        )
