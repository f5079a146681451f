"""The scoring core: pure, no I/O, no clock. Same transactions in the same order, same verdicts.

A detector has two verbs, kept apart so that a transaction never counts towards its own verdict: `score_one`
decides about a transaction by what was before it, and `learn_one` lets it join the detector's own state. The
window of the user's last transactions is the core's, whatever the detector.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar, Generic, TypeVar
from zlib import crc32

import msgspec

from schemas.rule import Line, Words
from schemas.scored import Flag, encode_scored
from schemas.transaction import Transaction
from stream_app.window import ID_BYTES, Window

S = TypeVar("S")

_TAG = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class StateFormat(Generic[S]):
    """What a detector keeps of each user beside the window: a value, never changed in place."""

    version: int
    """Counts up when the bytes or their meaning change."""
    fresh: S
    """Of a user who is new, or whose state is another detector's or version's."""
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
    """A scored transaction: a flag, or None when it does not stand out. `identity` is its id in 16 bytes."""

    offset: int
    identity: bytes
    transaction: Transaction
    flag: Flag | None
    _encoded: tuple[bytes, bytes] | None = None

    def encoded(self) -> tuple[bytes, bytes]:
        """The whole row as JSON, and its `meta_data` alone; made once, when first asked for."""
        if self._encoded is None:
            self._encoded = encode_scored(self.transaction, self.flag)
        return self._encoded


@dataclass(slots=True)
class Scores:
    """A batch's verdicts in arrival order, how many arrivals got none, and the windows that have changed."""

    verdicts: list[Verdict] = field(default_factory=list)
    duplicates: int = 0
    replayed: int = 0
    changed: dict[str, Window] = field(default_factory=dict)


def identity_of(uuid: str) -> bytes:
    """A UUID's text as 16 bytes."""
    return bytes.fromhex(uuid.replace("-", ""))


def identities_of(uuids: Sequence[str]) -> list[bytes]:
    """Many of them, at a third of the cost."""
    joined = identity_of("".join(uuids))
    return [joined[at : at + ID_BYTES] for at in range(0, len(joined), ID_BYTES)]


class Scorer:
    """A detector over windows of up to `window_size` transactions."""

    def __init__(self, detector: Detector[Any], window_size: int) -> None:
        self._detector = detector
        self._size = window_size
        self._format = form = detector.STATE
        self._tag = _TAG.pack(crc32(f"{detector.NAME}/{form.version}".encode())) if form else b""

    def score(self, arrivals: Iterable[Arrival], windows: Mapping[str, Window]) -> Scores:
        """Score arrivals in their order against their users' windows and states, which learn from each.

        An arrival at or below its window's `last_offset` was finished before a crash and gets no second
        verdict; neither does one whose id is still in the window.
        """
        scores, arrivals = Scores(), [*arrivals]
        identities = identities_of([arrival.transaction.id for arrival in arrivals])
        states = {user: self._state(window) for user, window in windows.items()} if self._format else {}
        for arrival, identity in zip(arrivals, identities, strict=True):
            window = windows[arrival.transaction.user_id]
            if arrival.offset <= window.last_offset:
                scores.replayed += 1
            elif window.holds(identity):
                scores.duplicates += 1
            else:
                flag = self._judge(window, states, arrival.transaction)
                scores.verdicts.append(Verdict(arrival.offset, identity, arrival.transaction, flag))
                window.push(arrival.transaction.amount, identity, self._size)
                window.last_offset = arrival.offset
                window.updated_at = arrival.timestamp
        learned = {verdict.transaction.user_id for verdict in scores.verdicts}
        scores.changed = {user: window for user, window in windows.items() if user in learned}
        self._keep(states, scores.changed)
        return scores

    def _judge(self, window: Window, states: dict[str, Any], transaction: Transaction) -> Flag | None:
        detector = self._detector
        if self._format is None:
            evidence = detector.score_one(window, None, transaction)
        else:
            state = states[transaction.user_id]
            evidence = detector.score_one(window, state, transaction)
            states[transaction.user_id] = detector.learn_one(window, state, transaction)
        return None if evidence is None else Flag(detector.NAME, evidence, detector.rule)

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
