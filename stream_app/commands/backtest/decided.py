"""What was decided, and when, applied to the rows: the verdicts of a replay, looked at by date."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self, TypeAlias

import msgspec

from schemas.scored import Flag, decode_flag, encode_flag
from schemas.transaction import Transaction
from stream_app.commands.backtest.contender import Contender, explained, ran_by
from stream_app.commands.backtest.outcome import RanDetector
from stream_app.commands.backtest.rows import Piece, Verdicts
from stream_app.commands.replay.differences import PartitionFindings
from stream_app.commands.replay.run import fresh_windows, score_rows
from stream_app.scoring import Verdict
from stream_app.settings import Settings
from stream_app.state.store import WindowStore

_KEPT_PARTITION = -2  # of the store: keeps what was found of each transaction
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(tuple[float | None, bytes]).decode


def _key(txn_id: str, user_id: str, date: datetime) -> bytes:
    return f"\0{txn_id}{user_id}{date.isoformat()}".encode()


@dataclass(slots=True)
class KeptVerdicts:
    """In place of the sink of rows: keeps each transaction's first verdict, by the key of its newest row."""

    store: WindowStore
    found: dict[int, PartitionFindings] = field(default_factory=dict)
    compared: int = 0
    decision: int = 0
    window_size: int = 0

    def is_asked_for(self, _partition: int) -> bool:
        """All are."""
        return True

    def finish(self, *, whole: bool) -> None:
        """Nothing is open."""

    async def write(self, _partition: int, _epoch: int, verdicts: Sequence[Verdict], next_offset: int) -> int:
        """Keep a batch."""
        items = dict[bytes, bytes | None]()
        for verdict in verdicts:
            one = verdict.transaction
            key = _key(one.id, one.user_id, one.txn_date)
            former = _key(one.id, one.user_id, verdict.moved_from or one.txn_date)
            if (kept := self._kept(former, items)) is None:
                kept = _ENCODE((verdict.score, encode_flag(verdict.flag)))
            items[key] = kept
        self.store.write(_KEPT_PARTITION, [*items.items()], next_offset)
        self.compared += len(verdicts)
        return len(verdicts)

    def of(self, one: Transaction) -> tuple[float | None, bytes] | None:
        """Score and encoded flag; None of what was not scored."""
        kept = self._kept(_key(one.id, one.user_id, one.txn_date), {})
        return None if kept is None else _DECODE(kept)

    def _kept(self, key: bytes, items: dict[bytes, bytes | None]) -> bytes | None:
        return items[key] if key in items else self.store.note(_KEPT_PARTITION, key)


class DecidedHistory:
    """Gives rows the verdicts that they get by what was decided and set then; while it is entered."""

    name = "what was decided"

    def __init__(self, settings: Settings, tell: Callable[[int, int, int], None]) -> None:
        self._settings, self._tell = settings, tell
        self.notes: list[str] = []
        """What is to be known of it."""

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            store = opened.enter_context(fresh_windows(self._settings))
            store.open(_KEPT_PARTITION)
            self._kept = KeptVerdicts(store)
            self._replayed = asyncio.run(score_rows(self._settings, self._kept, store, self._tell))
            self._opened = opened.pop_all()
        self.notes += [
            f"partition {found.partition}, from offset {gap.start:,} on: {gap.why}"
            for found in self._replayed.found
            for gap in found.gaps
        ]
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def judge(self, rows: Piece) -> Verdicts:
        """Look verdicts up, in any order."""
        verdicts = Verdicts()
        for place, one in enumerate(rows.transactions):
            score, flag = self._kept.of(one) or (None, b"")
            verdicts.scores.append(score)
            if score is None:
                verdicts.again.append(place)
            elif (found := decode_flag(flag)[0]) is not None:
                verdicts.flags[place] = found
        verdicts.unknown = len(verdicts.again)
        return verdicts

    def explain(self, transaction: Transaction, flag: Flag) -> str:
        """A flag in one sentence."""
        return explained(transaction, flag, self._replayed.deciding.ensemble)

    def ran(self) -> Sequence[RanDetector]:
        """The detectors that decide at the end."""
        return ran_by(self._replayed.deciding.ensemble)


Judge: TypeAlias = Contender | DecidedHistory
"""What gives verdicts, and explains them."""
