"""Detectors that run together: those that decide, and those that only watch.

A transaction is flagged where any that decides flags it, by the one to which it stands out most. What a
watching one would have flagged is kept apart. Each learns by itself, whatever the others say.
"""

from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from math import inf, isfinite, nextafter
from typing import Any

import msgspec
from msgspec.structs import replace

from schemas.scored import Beside, Flag, Shadow, facts_of
from schemas.transaction import Transaction
from stream_app.scoring.detector import Detector, DetectorError
from stream_app.scoring.merchants import MerchantRuns
from stream_app.scoring.rules.applied import RULES, Rules
from stream_app.scoring.rules.evaluator import Ruling
from stream_app.scoring.states import PAST, Kept, joined, kept_of, parts_of
from stream_app.window import Window, encode_window

_NO_FLAG = nextafter(1.0, 0.0)
Failures = list[DetectorError]
"""What detectors that only watch have failed at."""
Clock = Callable[[], float]
"""Seconds since whenever."""


def no_clock() -> float:
    """Always 0: nothing is timed."""
    return 0.0


class Judgement(msgspec.Struct):
    """What the detectors say of a transaction that at least one flags."""

    flag: Flag | None = None
    shadow: Shadow = {}
    strength: float = -inf
    """That of the flag."""
    most: float = -inf
    """The largest strength, of flags and others."""
    scores: list[float | None] = []
    """Of each detector, for rules; None where it failed."""
    ruling: Ruling | None = None
    beside: Beside | None = None


class ChangedWindowError(Exception):
    """A detector has changed the window, which others decide by, too."""


class Ensemble:
    """Detectors in the order in which they were named: of flags of one strength the first one's counts."""

    def __init__(
        self,
        deciding: Sequence[Detector[Any]],
        watching: Sequence[Detector[Any]] = (),
        untaught: Collection[str] = (),
        rules: Rules | None = None,
    ) -> None:
        self.deciding, self.watching, self.rules = deciding, watching, rules
        self.untaught = frozenset(map(str.lower, untaught))
        """Statuses, in small letters, of transactions from which nothing learns."""
        self.rule = self._rule()
        """Eight hexadecimal digits that stand for all that a verdict depends on."""
        self.alone = len(deciding) == 1 and not watching and not self.untaught and not rules
        """Whether there is one detector, and every transaction teaches."""
        self.all = [*deciding, *watching]
        self.asks_merchants = [one for one in self.all if one.ASKS_MERCHANTS]
        """Those that are to be told what labels say of merchants."""
        self._kept = kept_of([(one.NAME, one.STATE) for one in self.all])
        if rules and rules.state:
            self._kept[len(self.all)] = Kept(PAST, rules.state)
        self.has_state = bool(self._kept)
        self.only = self._kept.get(0) if self.alone else None
        """How the state of the one detector is kept."""

    def _rule(self) -> str:
        rules, beside = [one.rule for one in self.deciding], self.rules and self.rules.specs
        if len(rules) == 1 and not self.untaught and not beside:
            return rules[0]
        known: list[Any] = [rules, sorted(self.untaught)]
        if self.rules and beside:
            known += [[one.rule for one in self.watching], self.rules.hash]
        return sha256(msgspec.json.encode(known)).hexdigest()[:8]

    def teaches(self, transaction: Transaction) -> bool:
        """Whether windows and states learn from it."""
        return not self.untaught or transaction.status.lower() not in self.untaught

    def tell_runs(self, runs: MerchantRuns) -> None:
        """Have detectors know what labels say of merchants."""
        for detector in self.asks_merchants:
            detector.runs = runs

    def read(self, data: bytes) -> tuple[list[Any], bool]:
        """Each detector's state, fresh where it cannot be read; and whether any could not be."""
        parts, kept = parts_of(data), self._kept
        states = [
            kept[at].read(parts) if at in kept else None for at in range(len(self.all) + bool(self.rules))
        ]
        return states, bool(parts)

    def pack(self, states: Sequence[Any], failures: Failures) -> bytes:
        """The states as `read` takes them.

        Raises:
            DetectorError: One that decides has a state that cannot be packed.
        """
        parts = []
        for at, kept in self._kept.items():
            try:
                parts.append(kept.pack(states[at]))
            except Exception as error:  # noqa: BLE001 - whatever it is
                self._fail(at, error, failures)
        return parts[0] if len(parts) == 1 else joined(parts)

    def flags_from(self, window: Window, currency: str) -> dict[str, int]:
        """Where flags start, right after the user's last, by each that decides and can say it."""
        states, _ = self.read(window.state)
        decide = zip(self.deciding, states, strict=False)
        found = {one.NAME: one.flags_from(window, state, currency) for one, state in decide}
        return {name: amount for name, amount in found.items() if amount is not None}

    def judge(
        self, window: Window, states: list[Any], transaction: Transaction, failures: Failures
    ) -> tuple[float, Judgement | None]:
        """The strength of what stands out most, and what all say where any flags it; all learn.

        Raises:
            DetectorError: One that decides has failed.
        """
        judgement, learns = Judgement(scores=[None] * len(self.all)), self.teaches(transaction)
        for at in range(len(self.all)):
            try:
                flagged = self._ask(at, window, states[at], transaction, judgement)
                if learns and at in self._kept:
                    states[at] = self.all[at].learn_one(window, states[at], transaction, flagged=flagged)
            except Exception as error:  # noqa: BLE001 - whatever it is
                self._fail(at, error, failures, transaction.id)
        if self.rules is not None:
            self._rule_on(self.rules, window, states, transaction, judgement)
            if learns and self.rules.state:
                states[-1] = self.rules.learn(states[-1], transaction)
        found = judgement.flag or judgement.shadow or judgement.ruling
        return judgement.most, judgement if found else None

    def judge_quickly(
        self, window: Window, states: list[Any], transaction: Transaction, failures: Failures
    ) -> tuple[float, Judgement | None]:
        """The same of one detector with rules, in fewer steps where neither says anything, as nearly always.

        Raises:
            DetectorError: A detector that decides has failed.
        """
        detector, rules = self.all[0], self.rules
        score, evidence = detector.score_one(window, states[0], transaction)
        if rules is None or evidence or rules.judge(None, window, states[-1], transaction, (score,)):
            return self.judge(window, states, transaction, failures)
        if self.teaches(transaction):
            if detector.STATE:
                states[0] = detector.learn_one(window, states[0], transaction, flagged=False)
            if rules.state:
                states[-1] = rules.learn(states[-1], transaction)
        return detector.strength(score), None

    def _rule_on(
        self, rules: Rules, window: Window, states: list[Any], transaction: Transaction, judgement: Judgement
    ) -> None:
        """Have the rules add to what the detectors say."""
        ruled = rules.judge(judgement.flag, window, states[-1], transaction, judgement.scores)
        if ruled is None:
            return
        flag = ruled.flag and replace(ruled.flag, rule=self.rule)
        # What rules flag is as strong as a detector's weakest flag, and what they allow is weaker.
        judgement.most = max(judgement.most, 1.0) if flag else min(judgement.most, _NO_FLAG)
        judgement.flag, judgement.ruling, judgement.beside = flag, ruled.ruling, ruled.beside
        if ruled.ruling.shadow:
            judgement.shadow[RULES] = {"reasons": msgspec.to_builtins(ruled.ruling.shadow)}

    def _ask(
        self, at: int, window: Window, state: Any, transaction: Transaction, judgement: Judgement
    ) -> bool:
        """Have one detector add to the judgement; whether it flags the transaction."""
        detector = self.all[at]
        score, evidence = detector.score_one(window, state, transaction)
        if evidence is not None:
            check_flag(detector, score, evidence)
        judgement.scores[at] = score
        strength = detector.strength(score) if at < len(self.deciding) else -inf
        judgement.most = max(judgement.most, strength)
        if evidence is None:
            return False
        if at >= len(self.deciding):
            judgement.shadow[detector.NAME] = {"score": score, **facts_of(evidence)}
        elif strength > judgement.strength:
            judgement.strength, judgement.flag = strength, Flag(detector.NAME, evidence, self.rule)
        return True

    def check_pure(
        self,
        window: Window,
        states: Sequence[Any],
        transaction: Transaction,
        failures: Failures,
        clock: Clock,
    ) -> dict[str, float]:
        """Ask each detector once more, and see that nothing has changed by it; how many seconds each took.

        Raises:
            DetectorError: One has changed the window, by which others decide; or one that decides has changed
                its state, or says something else each time.
        """
        took = {}
        for at, detector in enumerate(self.all):
            try:
                took[detector.NAME] = check_pure(detector, window, states[at], transaction, clock)
            except Exception as error:  # noqa: BLE001 - whatever it is
                self._fail(at, error, failures, transaction.id)
        return took

    def _fail(self, at: int, error: Exception, failures: Failures, transaction_id: str = "") -> None:
        """Note what one that watches has failed at; what changes verdicts is raised."""
        failed = DetectorError(self.all[at].NAME, error, transaction_id)
        if at < len(self.deciding) or isinstance(error, ChangedWindowError):
            raise failed from error
        failures.append(failed)


def check_flag(detector: Detector[Any], score: Any, evidence: Any) -> None:
    """See that a flag is what a detector says it gives.

    Raises:
        TypeError: Score or evidence is something else.
        ValueError: The score is no finite number.
    """
    check_number("score", score)
    if not isinstance(evidence, detector.EVIDENCE):
        raise TypeError(f"its evidence is of {type(evidence).__name__}, not of its EVIDENCE")


def check_number(what: str, number: Any) -> None:
    """See that something is a finite number, and raise the error that says that it is not."""
    if type(number) not in (int, float):
        raise TypeError(f"its {what} is {number!r}, which is no number")
    if not isfinite(number):
        raise ValueError(f"its {what} is {number}")


def check_pure(
    detector: Detector[Any], window: Window, state: Any, transaction: Transaction, clock: Clock = no_clock
) -> float:
    """Ask a detector about a transaction twice, and have it learn; the seconds that once takes.

    Raises:
        ChangedWindowError: It has changed the window.
        ValueError: It has changed the state, or given two answers.
    """

    def look(verb: str) -> None:
        if encode_window(window) != before:
            raise ChangedWindowError(f"{verb} changes the window")
        if form and form.encode(state) != kept:
            raise ValueError(f"{verb} changes the state that it is given")

    form, before = detector.STATE, encode_window(window)
    kept = form.encode(state) if form else b""
    begun = clock()
    answer = detector.score_one(window, state, transaction)
    took = clock() - begun
    again = detector.score_one(window, state, transaction)
    look("score_one")
    if answer != again:
        raise ValueError(f"score_one says {answer} and, asked again, {again}")
    if form:
        begun = clock()
        detector.learn_one(window, state, transaction, flagged=answer[1] is not None)
        took += clock() - begun
        look("learn_one")
    return took
