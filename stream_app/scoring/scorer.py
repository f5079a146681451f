"""Scores batches: pure, no I/O, no clock. Same transactions in the same order, same verdicts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from schemas.money import amount_text
from schemas.scored import Flag, decode_flag, encode_flag
from schemas.transaction import Transaction
from schemas.window_view import FlagStarts
from stream_app.scoring.detector import Detector, DetectorError
from stream_app.scoring.ensemble import Clock, Ensemble, Judgement, check_flag, no_clock
from stream_app.scoring.merchants import MerchantRuns
from stream_app.scoring.rules.applied import RULES
from stream_app.scoring.verdict import Arrival, Scores, Verdict, identities_of
from stream_app.window import ANY_CURRENCY, Window
from stream_app.window.recent import KEY_BYTES, Note, date_of, entries_of, is_same, read_note, with_note

Entries = Callable[[Sequence[Transaction], Sequence[bytes]], list[bytes]]
"""As `stream_app.window.recent.entries_of`."""

# A batch is scored in slices whose objects stay in the processor's nearest cache: passes over a whole one, of
# 16,000, wait for memory (2.6 µs a transaction in place of 2.9).
_AT_A_TIME = 500


class Scorer:
    """A detector, or several, over windows of up to `window_size` transactions.

    There is a window for each user and currency, or one for each user. By the `clock` detectors are timed;
    `entries` makes what transactions are known again by. Verdicts name the `decision`, whose rule set it is.
    """

    def __init__(
        self,
        detectors: Detector[Any] | Ensemble,
        window_size: int,
        *,
        by_currency: bool = True,
        clock: Clock = no_clock,
        entries: Entries = entries_of,
        decision: int = 0,
    ) -> None:
        self._decision = decision
        self._ensemble = detectors if isinstance(detectors, Ensemble) else Ensemble([detectors])
        self._size = window_size
        self._by_currency, self._clock = by_currency, clock
        self._entries = entries
        self._only: Any = self._ensemble.only
        self._judge = self._ask_one if self._only else self._ask_all
        one_and_rules = self._ensemble.rules is not None and len(self._ensemble.all) == 1
        self._judge_all = self._ensemble.judge_quickly if one_and_rules else self._ensemble.judge
        self._stateless = self._ensemble.alone and not self._ensemble.has_state

    @property
    def asks_merchants(self) -> bool:
        """Whether a detector is to be told what labels say of merchants."""
        return bool(self._ensemble.asks_merchants)

    def score(
        self, arrivals: Iterable[Arrival], windows: Mapping[str, Window], runs: MerchantRuns | None = None
    ) -> Scores:
        """Score arrivals in their order against their users' windows and states, which learn from each.

        An arrival at or below its window's `last_offset` was finished before a crash and gets no second
        verdict. One whose id is among the user's last 20 is a duplicate, or a revision where its content is
        another: it gets the first verdict again, and nothing learns from it. `runs` is what labels say of
        merchants from now on, for detectors that ask.

        Raises:
            DetectorError: A detector that decides failed; windows are then to be loaded again.
        """
        scores, remaining = Scores(), iter(arrivals)
        if runs is not None:
            self._ensemble.tell_runs(runs)
        self._fit(windows.values())
        while some := [*islice(remaining, _AT_A_TIME)]:
            self._score_some(some, windows, scores)
        changed = {verdict.transaction.user_id for verdict in scores.verdicts}
        scores.changed = {user: window for user, window in windows.items() if user in changed}
        if not self._stateless:
            self._check_last(scores)
        return scores

    def flags_from(self, window: Window, currency: str) -> FlagStarts:
        """Where flags start for the user of this window, whose next transaction is in this currency."""
        its = window
        if self._by_currency and window.currency != ANY_CURRENCY:
            its = window.by_currency.get(currency.upper(), Window())
        found = self._ensemble.flags_from(its, currency)
        amounts = {name: amount_text(amount) for name, amount in found.items()}
        return FlagStarts(window.updated.isoformat(), amounts)

    def _score_some(self, arrivals: Sequence[Arrival], windows: Mapping[str, Window], scores: Scores) -> None:
        add, size, by_currency = scores.verdicts.append, self._size, self._by_currency
        decision = self._decision
        ensemble, judge, stateless = self._ensemble, self._judge, self._stateless
        score_one, all_teach = ensemble.all[0].score_one, not ensemble.untaught
        for arrival, identity, entry in self._identified(arrivals):
            transaction = arrival.transaction
            window = windows[transaction.user_id]
            if arrival.offset <= window.last_offset:
                scores.replayed += 1
                continue
            if (at := window.recent.find(entry[:KEY_BYTES])) >= 0 and (at := window.find(entry)) >= 0:
                again = Verdict(arrival.offset, identity, entry, transaction, None)
                self._score_again(window, at, again, scores)
                continue
            if transaction.currency != window.currency and by_currency:
                self._use(window, transaction, scores)
            try:
                if stateless:
                    score, evidence = score_one(window, None, transaction)
                    window.state = b""  # another detector's, if any: it misses a transaction now
                else:
                    score, evidence = judge(window, transaction, scores)
                verdict = Verdict(arrival.offset, identity, entry, transaction, None, 0, None, None, score)
                verdict.decision = decision
                if evidence is not None:
                    self._flag(verdict, score, evidence, scores)
            except Exception as error:
                raise self._failed(error, arrival) from error
            add(verdict)
            if all_teach or ensemble.teaches(transaction):
                window.push(transaction.amount, entry, size)
            else:
                window.remember(entry)
            if evidence is not None:
                _note(window, verdict)
            window.last_offset = arrival.offset
            window.updated_at = arrival.timestamp

    def _ask_one(self, window: Window, transaction: Transaction, scores: Scores) -> tuple[float, Any]:
        """Score by the one detector, and let it learn."""
        detector, kept = self._ensemble.all[0], self._only
        state, lost = kept.read_alone(window.state)
        if lost:
            scores.states_lost += 1
        score, evidence = detector.score_one(window, state, transaction)
        state = detector.learn_one(window, state, transaction, flagged=evidence is not None)
        window.state = kept.pack(state)
        return score, evidence

    def _ask_all(self, window: Window, transaction: Transaction, scores: Scores) -> tuple[float, Any]:
        """Score by several detectors, and let them learn."""
        states, lost = self._ensemble.read(window.state)
        if lost:
            scores.states_lost += 1
        judged = self._judge_all(window, states, transaction, scores.failures)
        window.state = self._ensemble.pack(states, scores.failures)
        return judged

    def _flag(self, verdict: Verdict, score: float, evidence: Any, scores: Scores) -> None:
        """Have the verdict say what was found."""
        if isinstance(evidence, Judgement):
            verdict.flag, verdict.shadow, verdict.beside = evidence.flag, evidence.shadow, evidence.beside
            scores.shadow_flags.update(evidence.shadow.keys() - {RULES})
            if evidence.ruling:
                scores.rules.update(evidence.ruling.told())
                scores.rule_failures |= {one.rule: one.error for one in evidence.ruling.failures}
        else:
            detector = self._ensemble.all[0]
            check_flag(detector, score, evidence)
            verdict.flag = Flag(detector.NAME, evidence, self._ensemble.rule)

    def _failed(self, error: Exception, arrival: Arrival) -> DetectorError:
        """The error of a detector, with the place at which it came."""
        if not isinstance(error, DetectorError):
            error = DetectorError(self._ensemble.all[0].NAME, error, arrival.transaction.id)
        error.offset = arrival.offset
        return error

    def _check_last(self, scores: Scores) -> None:
        """See by the last transaction that detectors change nothing: by all it would cost too much."""
        for verdict in reversed(scores.verdicts):
            if not verdict.revision:
                window = scores.changed[verdict.transaction.user_id]
                states, _ = self._ensemble.read(window.state)
                asked = window, states, verdict.transaction, scores.failures
                scores.seconds = self._ensemble.check_pure(*asked, self._clock)
                return

    def _score_again(self, window: Window, at: int, verdict: Verdict, scores: Scores) -> None:
        """Score a transaction whose id is among the last: other content becomes a revision."""
        former = window.recent[at : at + len(verdict.entry)]
        if is_same(former, verdict.entry):
            scores.duplicates += 1
            return
        note = read_note(window.notes, former)
        note.revision += 1
        window.revise(at, verdict.entry, note)
        window.last_offset = verdict.offset
        verdict.flag, verdict.shadow, verdict.beside, verdict.decision = decode_flag(note.flag)
        verdict.revision = note.revision
        date = date_of(former)
        verdict.moved_from = None if date == verdict.transaction.txn_date else date
        scores.verdicts.append(verdict)
        scores.revisions += 1

    def _use(self, window: Window, transaction: Transaction, scores: Scores) -> None:
        """Go over to the window of the transaction's currency."""
        is_new = window.is_new  # as every user's is once: there is nothing to fit
        scores.dropped += window.use(transaction.currency)
        if not is_new:
            self._fit([window])

    def _fit(self, windows: Iterable[Window]) -> None:
        """Fit windows to the settings, which may be others than they were made by."""
        size, by_currency = self._size, self._by_currency
        for window in windows:
            if window.count > size:
                window.cut(size)
            if not by_currency and window.currency != ANY_CURRENCY:
                window.use_any()

    def _identified(self, arrivals: Sequence[Arrival]) -> Iterable[tuple[Arrival, bytes, bytes]]:
        """Each arrival with its id in 16 bytes, and what it is known again by."""
        transactions = [arrival.transaction for arrival in arrivals]
        identities = identities_of([transaction.id for transaction in transactions])
        return zip(arrivals, identities, self._entries(transactions, identities), strict=True)


def _note(window: Window, verdict: Verdict) -> None:
    """Keep what was found, for revisions."""
    flag = encode_flag(verdict.flag, verdict.shadow, verdict.beside, verdict.decision)
    window.notes = with_note(window.notes, verdict.entry, Note(flag))
