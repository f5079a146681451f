"""Scores batches: pure, no I/O, no clock. Same transactions in the same order, same verdicts."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any
from zlib import crc32

import msgspec

from schemas.scored import Flag, decode_flag, encode_flag
from schemas.transaction import Transaction
from stream_app.scoring.detector import Detector
from stream_app.scoring.verdict import Arrival, Scores, Verdict, identities_of
from stream_app.window import ANY_CURRENCY, Window
from stream_app.window.recent import KEY_BYTES, Note, date_of, entries_of, is_same, read_note, with_note

_TAG = struct.Struct("<I")

# A batch is scored in slices whose objects stay in the processor's nearest cache: passes over a whole one, of
# 16,000, wait for memory (2.6 µs a transaction in place of 2.9).
_AT_A_TIME = 500


class Scorer:
    """A detector over windows of up to `window_size` transactions, one a user and currency or one a user."""

    def __init__(self, detector: Detector[Any], window_size: int, *, by_currency: bool = True) -> None:
        self._detector = detector
        self._size = window_size
        self._by_currency = by_currency
        self._format = form = detector.STATE
        self._tag = _TAG.pack(crc32(f"{detector.NAME}/{form.version}".encode())) if form else b""

    def score(self, arrivals: Iterable[Arrival], windows: Mapping[str, Window]) -> Scores:
        """Score arrivals in their order against their users' windows and states, which learn from each.

        An arrival at or below its window's `last_offset` was finished before a crash and gets no second
        verdict. One whose id is among the user's last 20 is a duplicate, or a revision where its content is
        another: it gets the first verdict again, and nothing learns from it.
        """
        scores, states = Scores(), self._begin(windows)
        remaining = iter(arrivals)
        while some := [*islice(remaining, _AT_A_TIME)]:
            self._score_some(some, windows, states, scores)
        changed = {verdict.transaction.user_id for verdict in scores.verdicts}
        scores.changed = {user: window for user, window in windows.items() if user in changed}
        self._keep(states, scores.changed)
        return scores

    def _score_some(
        self,
        arrivals: Sequence[Arrival],
        windows: Mapping[str, Window],
        states: dict[str, Any],
        scores: Scores,
    ) -> None:
        transactions = [arrival.transaction for arrival in arrivals]
        identities = identities_of([transaction.id for transaction in transactions])
        entries = entries_of(transactions, identities)
        score_one, add = self._detector.score_one, scores.verdicts.append
        size, stateless, by_currency = self._size, self._format is None, self._by_currency
        for arrival, identity, entry in zip(arrivals, identities, entries, strict=True):
            transaction = arrival.transaction
            window = windows[transaction.user_id]
            if arrival.offset <= window.last_offset:
                scores.replayed += 1
            elif (at := window.recent.find(entry[:KEY_BYTES])) >= 0 and (at := window.find(entry)) >= 0:
                again = Verdict(arrival.offset, identity, entry, transaction, None)
                self._score_again(window, at, again, scores)
            else:
                if transaction.currency != window.currency and by_currency:
                    scores.dropped += self._use(window, states, transaction)
                if stateless:
                    _, evidence = score_one(window, None, transaction)
                else:
                    evidence = self._learn(window, states, transaction)
                flag = None if evidence is None else Flag(self._detector.NAME, evidence, self._detector.rule)
                add(Verdict(arrival.offset, identity, entry, transaction, flag))
                window.push(transaction.amount, entry, size)
                if flag is not None:
                    window.notes = with_note(window.notes, entry, Note(encode_flag(flag)))
                window.last_offset = arrival.offset
                window.updated_at = arrival.timestamp

    def _learn(
        self, window: Window, states: dict[str, Any], transaction: Transaction
    ) -> msgspec.Struct | None:
        """Score by a detector that has a state, and let it learn."""
        detector, user = self._detector, transaction.user_id
        state = states[user]
        _, evidence = detector.score_one(window, state, transaction)
        states[user] = detector.learn_one(window, state, transaction, flagged=evidence is not None)
        return evidence

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
        verdict.flag, verdict.revision = decode_flag(note.flag), note.revision
        date = date_of(former)
        verdict.moved_from = None if date == verdict.transaction.txn_date else date
        scores.verdicts.append(verdict)
        scores.revisions += 1

    def _use(self, window: Window, states: dict[str, Any], transaction: Transaction) -> int:
        """Go over to the window and state of the transaction's currency; how many windows had to go."""
        if window.is_new:  # as every user's is once: there is nothing to put away or to fit
            return window.use(transaction.currency)
        its = {transaction.user_id: window}
        self._keep(states, its)
        dropped = window.use(transaction.currency)
        states |= self._begin(its)
        return dropped

    def _begin(self, windows: Mapping[str, Window]) -> dict[str, Any]:
        """Fit windows to the settings, which may be others than they were made by; the states behind them."""
        size, by_currency = self._size, self._by_currency
        for window in windows.values():
            if window.count > size:
                window.cut(size)
            if not by_currency and window.currency != ANY_CURRENCY:
                window.use_any()
        return {user: self._state(window) for user, window in windows.items()} if self._format else {}

    def _state(self, window: Window) -> Any:
        assert self._format is not None  # noqa: S101 - asked for only where there is one
        mine = window.state.startswith(self._tag)
        return self._format.decode(window.state[_TAG.size :]) if mine else self._format.fresh

    def _keep(self, states: Mapping[str, Any], windows: Mapping[str, Window]) -> None:
        """Pack the states behind their windows; those of another detector have missed transactions now."""
        for user, window in windows.items():
            if self._format:
                window.state = self._tag + self._format.encode(states[user])
            elif window.state:
                window.state = b""
