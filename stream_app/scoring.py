"""The scoring core: pure, no I/O, no clock. Same transactions in the same order, same verdicts.

A detector has two verbs, kept apart so that a transaction never counts towards its own verdict: `score_one`
decides about a transaction by what was before it, and `learn_one` lets it join the detector's own state. The
window of the user's last transactions in a currency is the core's, whatever the detector.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar, Generic, TypeVar
from zlib import crc32

import msgspec

from schemas.rule import Line, Words
from schemas.scored import Flag, decode_flag, encode_flag, encode_scored
from schemas.transaction import Transaction
from stream_app.window import ANY_CURRENCY, Window
from stream_app.window.recent import KEY_BYTES, Note, date_of, entries_of, is_same, read_note, with_note

S = TypeVar("S")

_ID_BYTES = 16
_TAG = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class StateFormat(Generic[S]):
    """What a detector keeps of each user and currency beside the window: a value, never changed in place."""

    version: int
    """Counts up when the bytes or their meaning change."""
    fresh: S
    """Of a user who is new to the currency, or whose state is another detector's or version's."""
    encode: Callable[[S], bytes]
    decode: Callable[[bytes], S]


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

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @cached_property
    def rule(self) -> str:
        """Eight hexadecimal digits that stand for the detector, its version and its settings."""
        settings = self.settings.model_dump(mode="json")
        known = msgspec.json.encode([self.NAME, self.VERSION, settings], order="deterministic")
        return sha256(known).hexdigest()[:8]

    def sentence(self) -> str:
        """What is flagged, in one sentence."""
        raise NotImplementedError

    def lines(self) -> Sequence[Line]:
        """The lines over the chart of a user's amounts."""
        raise NotImplementedError

    def score_one(self, window: Window, state: S, transaction: Transaction) -> msgspec.Struct | None:
        """The evidence where the transaction stands out against what was before it, else None. Pure."""
        raise NotImplementedError

    def learn_one(self, window: Window, state: S, transaction: Transaction) -> S:
        """The state with the transaction, which is not yet in the window. Pure; needed where `STATE` is."""
        raise NotImplementedError


class Arrival(msgspec.Struct, gc=False):
    """A valid transaction and where it stands in the source partition (`timestamp` in milliseconds)."""

    offset: int
    timestamp: int
    transaction: Transaction


class Verdict(msgspec.Struct, gc=False):
    """A scored transaction: a flag, or None when it does not stand out.

    `identity` is its id in 16 bytes, `entry` what it is known again by (`stream_app.window.recent`).
    """

    offset: int
    identity: bytes
    entry: bytes
    transaction: Transaction
    flag: Flag | None
    revision: int = 0
    """2, 3, … of other content under an id that got its verdict before, which `flag` repeats; else 0."""
    moved_from: datetime | None = None
    """The date of the content before, where a revision has another."""
    _encoded: tuple[bytes, bytes] | None = None

    def encoded(self) -> tuple[bytes, bytes]:
        """The whole row as JSON, and its `meta_data` alone; made once, when first asked for."""
        if self._encoded is None:
            self._encoded = encode_scored(self.transaction, self.flag, self.revision)
        return self._encoded


@dataclass(slots=True)
class Scores:
    """A batch's verdicts in arrival order, how many arrivals got none, and the windows that have changed."""

    verdicts: list[Verdict] = field(default_factory=list)
    revisions: int = 0
    """How many of the verdicts are of revisions."""
    duplicates: int = 0
    replayed: int = 0
    dropped: int = 0
    """How many windows had to go because their users have too many currencies."""
    changed: dict[str, Window] = field(default_factory=dict)


def identity_of(uuid: str) -> bytes:
    """A UUID's text as 16 bytes."""
    return bytes.fromhex(uuid.replace("-", ""))


def identities_of(uuids: Sequence[str]) -> list[bytes]:
    """Many of them, at a third of the cost."""
    joined = identity_of("".join(uuids))
    return [joined[at : at + _ID_BYTES] for at in range(0, len(joined), _ID_BYTES)]


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
        scores, arrivals = Scores(), [*arrivals]
        transactions = [arrival.transaction for arrival in arrivals]
        identities = identities_of([transaction.id for transaction in transactions])
        entries = entries_of(transactions, identities)
        states = self._begin(windows)
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
                    evidence = score_one(window, None, transaction)
                else:
                    evidence = self._learn(window, states, transaction)
                flag = None if evidence is None else Flag(self._detector.NAME, evidence, self._detector.rule)
                add(Verdict(arrival.offset, identity, entry, transaction, flag))
                window.push(transaction.amount, entry, size)
                if flag is not None:
                    window.notes = with_note(window.notes, entry, Note(encode_flag(flag)))
                window.last_offset = arrival.offset
                window.updated_at = arrival.timestamp
        changed = {verdict.transaction.user_id for verdict in scores.verdicts}
        scores.changed = {user: window for user, window in windows.items() if user in changed}
        self._keep(states, scores.changed)
        return scores

    def _learn(
        self, window: Window, states: dict[str, Any], transaction: Transaction
    ) -> msgspec.Struct | None:
        """Score by a detector that has a state, and let it learn."""
        state = states[transaction.user_id]
        evidence = self._detector.score_one(window, state, transaction)
        states[transaction.user_id] = self._detector.learn_one(window, state, transaction)
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
