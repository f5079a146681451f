"""Flags an amount by the odds that it is a thief's rather than the user's own."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

import msgspec

from schemas.rule import Line
from schemas.transaction import Transaction
from stream_app.detectors.odds import state as states
from stream_app.detectors.odds.densities import NAT
from stream_app.detectors.odds.evidence import WORDS, Evidence, evidence_of
from stream_app.detectors.odds.filter import Filter, Known, Weighed
from stream_app.detectors.odds.fitting import OddsFitting
from stream_app.detectors.odds.profile import Profile, exact
from stream_app.detectors.odds.settings import Settings
from stream_app.detectors.odds.state import State, hour_of
from stream_app.detectors.odds.table import logarithm
from stream_app.scoring import Detector, StateFormat
from stream_app.window import Window

_UNLESS_TOLD = Profile()
# The strengths of detectors are compared: an amount of twice the threshold has about these odds more.
_TWICE = 16 * NAT


class Odds(Detector[State]):
    """A filter of each user's risk and usual amount, with what its profile knows of thieves and currencies.

    Scores are log odds of a fraud in 1/512 nat, and do not depend on the threshold.

    >>> from datetime import UTC, datetime
    >>> def of(amount):
    ...     return Transaction("", "", amount, "INR", datetime(2018, 4, 1, tzinfo=UTC), "paid", None)
    >>> odds, window, state = Odds(Settings()), Window(), State()
    >>> for amount in [1000, 1200, 900, 1100] * 5:
    ...     state = odds.learn_one(window, state, of(amount), flagged=False)
    >>> score, evidence = odds.score_one(window, state, of(8000))
    >>> evidence.mean, evidence.window, evidence.ratio, evidence.threshold
    ('10.50', 20, 7.62, '42.33')
    """

    NAME = "odds"
    VERSION = 1
    EVIDENCE: ClassVar[type[msgspec.Struct]] = Evidence
    SETTINGS = Settings
    WORDS = WORDS
    STATE = StateFormat(version=1, fresh=State(), encode=states.encode, decode=states.decode)
    PROFILE = Profile

    def __init__(self, settings: Settings, profile: msgspec.Struct | None = None) -> None:
        super().__init__(settings, profile)
        known = profile if isinstance(profile, Profile) else _UNLESS_TOLD
        self._filter = Filter(known, settings.odds_row)
        self._threshold = threshold_by(settings, known)
        self.threshold = self._threshold
        nothing = Transaction("", "", 0, "", datetime.min.replace(tzinfo=UTC), "", None)
        self._last = _Look(State(), nothing, 0, Known(0, None), (0, 0, 0))
        self._untaught = settings.untaught()

    def sentence(self) -> str:
        """What is flagged, in one sentence."""
        return "An amount is flagged where, by what its user usually spends and did before, fraud is likely."

    def lines(self) -> Sequence[Line]:
        """The mean of the window, which is near to what the user usually spends; where flags start."""
        size = self.settings.window_size
        starts = Line(
            "flags start here: at each flag, and now", of="state", detector=self.NAME, threshold=True
        )
        return [Line(f"mean of the last {size}", of="mean", window=size), starts]

    def flags_from(self, window: Window, state: State, currency: str) -> int | None:
        """The least amount that would be flagged right after the user's last, unless it is a habit."""
        its = self._filter
        return its.least(state, its.risk(state), its.known(currency), self._threshold)

    def score_one(
        self,
        window: Window,
        state: State,
        transaction: Transaction,
    ) -> tuple[float, Evidence | None]:
        """The log odds of a fraud, and the evidence where they reach the threshold."""
        look = self._look(state, transaction)
        score = look.weighed[0]
        return (score, None) if score < self._threshold else (score, self._evidence(look))

    def learn_one(
        self,
        window: Window,
        state: State,
        transaction: Transaction,
        *,
        flagged: bool,
    ) -> State:
        """The state with the transaction, unless its status is one that does not teach."""
        if transaction.status.lower() in self._untaught:
            return state
        look = self._look(state, transaction)
        return self._filter.learn(state, transaction.amount, look.hour, look.known, look.weighed)

    def strength(self, score: float) -> float:
        """1.0 at the threshold, 2.0 at what twice the amount would have."""
        return max(1 + (score - self._threshold) / _TWICE, 0)

    @classmethod
    def fitting(cls, settings: Settings) -> OddsFitting:
        """What makes its profile of history."""
        return OddsFitting(settings)

    def _look(self, state: State, transaction: Transaction) -> "_Look":
        """What there is to say of a transaction; for both verbs at once, as one follows the other."""
        last = self._last
        if last.transaction is transaction and last.state is state:
            return last
        hour = hour_of(transaction.txn_date)
        known = self._filter.known(transaction.currency)
        weighed = self._filter.weigh(state, transaction.amount, hour, known)
        self._last = look = _Look(state, transaction, hour, known, weighed)
        return look

    def _evidence(self, look: "_Look") -> Evidence:
        known, state, amount = look.known, look.state, look.transaction.amount
        start = self._filter.least(state, look.weighed[2], known, self._threshold)
        expected = self._filter.expected(state, known)
        return evidence_of(amount, expected, known, amount if start is None else start)


class _Look(msgspec.Struct, frozen=True, gc=False):
    state: State
    transaction: Transaction
    hour: int
    known: Known
    weighed: Weighed


def threshold_by(settings: Settings, profile: Profile) -> int:
    """The score from which on transactions are flagged."""
    for threshold in (settings.odds_threshold, profile.threshold):
        if isinstance(threshold, int):
            return threshold
    probability = exact(settings.odds_probability)
    return logarithm(probability / (1 - probability))
