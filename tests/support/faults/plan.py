"""What a worker under test is to do to itself, handed to `tests.support.faults.entry` on its command line."""

import signal
from dataclasses import asdict, dataclass, field

import msgspec

BATCH_POINTS = (
    "decoded",
    "loaded",
    "scored",
    "rows copied",
    "rows committed",
    "output filled",
    "output committed",
    "windows written",
    "mirrored",
    "acknowledged",
)
"""Between the eight steps, and within the two transactions before they are committed."""

DECISION_POINTS = ("decision taken", "decision noted", "decision committed", "decision applied")
"""Between the steps of applying what was decided."""

OPENING_POINTS = ("epoch raised", "producer started", "windows restored", "opened")
"""While a partition is taken over."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The process sends itself `signal` when it passes `point` for the `nth` time.

    The protections named in `off` are off.
    """

    point: str = ""
    nth: int = 1
    signal: int = signal.SIGKILL
    off: list[str] = field(default_factory=list)
    events: str = ""
    """The file that what happened is appended to."""

    def text(self) -> str:
        """As a command line's argument."""
        return msgspec.json.encode(asdict(self)).decode()

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """From a command line's argument."""
        return msgspec.json.decode(text, type=cls)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a worker did: `what` is a point, `signalled`, or `opened`."""

    at: float
    pid: int
    what: str
    partition: int
