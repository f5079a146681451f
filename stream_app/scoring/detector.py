"""What a detector is: it decides which transactions stand out, and may keep a state of its own for that.

It has two verbs, kept apart so that a transaction never counts towards its own verdict: `score_one` decides
about a transaction by what was before it, and `learn_one` lets it join the detector's own state. The window
of the user's last transactions in a currency is the core's, whatever the detector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from schemas.masking import without_data
from schemas.rule import Line, Words
from schemas.transaction import Transaction
from stream_app.scoring.merchants import MerchantRuns, no_runs
from stream_app.window import Window

S = TypeVar("S")

_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class StateFormat(Generic[S]):
    """What a detector keeps of each user and currency beside the window: a value, never changed in place."""

    version: int
    """Counts up when the bytes or their meaning change."""
    fresh: S
    """Of a user who is new to the currency, or whose state is another detector's or version's."""
    encode: Callable[[S], bytes]
    decode: Callable[[bytes], S]
    of: str = ""
    """Another detector, whose states these are as well: who goes over from it keeps them. Where both run,
    each has its own."""


class DetectorError(Exception):
    """What a detector raised, or did though none may, and on which transaction."""

    def __init__(self, detector: str, error: Exception, transaction_id: str = "") -> None:
        self.detector, self.transaction_id, self.offset = detector, transaction_id, -1
        self._said = without_data(" ".join(f"{type(error).__name__}: {error}".split()))[:_LONGEST_REASON]
        super().__init__(detector, error)

    def __str__(self) -> str:
        at = "" if self.offset < 0 else f" at offset {self.offset}"
        of = f", transaction {self.transaction_id}" if self.transaction_id else ""
        return f"detector {self.detector} failed{at}{of}: {self._said}"


class Fitting(Protocol):
    """Learns a profile from history, oldest first, in bounded memory."""

    def add(self, transaction: Transaction, label: bool | None) -> None:  # noqa: FBT001 - what it is called with
        """Take a transaction in: a fraud, legitimate, or None where that is not known."""

    def profile(self) -> msgspec.Struct:
        """What it has learned so far."""


class Detector(Generic[S]):
    """Decides which transactions stand out, one file each in `stream_app.detectors`; `S` is its state."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int]
    """Counts up when it decides otherwise."""
    EVIDENCE: ClassVar[type[msgspec.Struct]]
    """What explains a flag: fields with `msgspec.Meta`, published beside the detector's name."""
    SETTINGS: ClassVar[type[Any]]
    """Its settings, read from the environment: a subclass of `WindowSettings`."""
    WORDS: ClassVar[Words]
    STATE: ClassVar[StateFormat[Any] | None] = None
    """None: the window is enough."""
    PROFILE: ClassVar[type[msgspec.Struct] | None] = None
    """What history taught it, frozen; None: nothing does."""

    ASKS_MERCHANTS: ClassVar[bool] = False
    """Whether it asks `runs`, which the scorer then has before each batch."""

    threshold: float
    """Scores from here on are flagged."""
    runs: MerchantRuns = staticmethod(no_runs)
    """What late labels say of a merchant."""

    def __init__(self, settings: Any, profile: msgspec.Struct | None = None) -> None:
        self.settings, self.profile = settings, profile

    @cached_property
    def rule(self) -> str:
        """Eight hexadecimal digits that stand for the detector, its version, settings and profile."""
        known = [self.NAME, self.VERSION, self.settings.model_dump(mode="json")]
        if self.profile is not None:
            known.append(self.profile)
        return sha256(msgspec.json.encode(known, order="deterministic")).hexdigest()[:8]

    def sentence(self) -> str:
        """What is flagged, in one sentence."""
        raise NotImplementedError

    def lines(self) -> Sequence[Line]:
        """The lines over the chart of a user's amounts."""
        raise NotImplementedError

    def score_one(
        self, window: Window, state: S, transaction: Transaction
    ) -> tuple[float, msgspec.Struct | None]:
        """How far the transaction stands out against what was before it, more is worse. Pure.

        The evidence is there where, and only where, the score reaches the threshold.
        """
        raise NotImplementedError

    def learn_one(self, window: Window, state: S, transaction: Transaction, *, flagged: bool) -> S:
        """The state with the transaction, which is not yet in the window. Pure; needed where `STATE` is.

        `flagged` is by this detector, whatever others say.
        """
        raise NotImplementedError

    def flags_from(self, window: Window, state: S, currency: str) -> int | None:  # noqa: ARG002 - for those that can
        """The least amount, in hundredths, that would be flagged right after the user's last. Pure.

        None where no amount says it. It is shown in the chart, by a line `of="state"`.
        """
        return None

    def strength(self, score: float) -> float:
        """The score on a scale that detectors have in common: 1.0 is where flags begin."""
        return score / self.threshold

    @classmethod
    def fitting(cls, settings: Any) -> Fitting | None:  # noqa: ARG003 - for those that have a profile
        """What makes its profile of history; None where it has none."""
        return None
