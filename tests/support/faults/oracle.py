"""What must come of the input topic, by a single-threaded replay of it in partition order.

It shares no code with the worker but the decoding of a window's bytes. What is refused, and why, is not
decided here: whoever sends a bad message says so in its header `expected` (a reason, or `tombstone`).
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias
from uuid import UUID

from aiokafka import ConsumerRecord

from schemas.checks import OPTIONAL
from tests.support.detectors import rolling_mean

SIZE, MINIMUM, FACTOR, RECENT = 20, 10, 5, 20
RULE = rolling_mean(SIZE, MINIMUM, Fraction(FACTOR)).rule
VERDICT = (
    *("is_anomaly", "detector", "rule", "mean", "window", "ratio", "threshold", "revision", "shadow"),
    *("flags_from", "above_limit", "population_mean", "merchant_frauds", "merchant_days", "merchant_chance"),
    *("severity", "reasons", "watched", "allowed", "decision"),
)
SAYS_NOTHING = {"is_anomaly", "decision", "revision"}
LETTER_BYTES, KEY_BYTES = 1_000_000, 36

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"
Row = dict[str, Any]
Place = tuple[int, int]
"""A record's partition and offset on the input topic."""
Judge = Callable[[Row, list[int], Place], Row]
"""What a verdict adds to the `meta_data` of a row, by the amounts of the window before, and its place."""


@dataclass(slots=True)
class UserWindow:
    """A user's last amounts (hundredths) by currency, that used last at the end, and where it came from."""

    amounts: dict[str, list[int]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    """Those of the last 20 transactions."""
    last_offset: int = -1
    updated_at: int = 0


@dataclass(slots=True)
class Expected:
    """All that must be in the places that the worker writes to, once it has finished the input topic."""

    rows: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    """By id, date and user: the first transaction of them stays."""
    scored: dict[Place, Row] = field(default_factory=dict)
    letters: dict[Place, tuple[str, bytes | None, bytes]] = field(default_factory=dict)
    """Reason, key and value of each refused message."""
    windows: dict[str, UserWindow] = field(default_factory=lambda: defaultdict(UserWindow))
    newest: dict[tuple[str, str], tuple[Row, Row]] = field(default_factory=dict)
    """By user and id: what was sent last under it, and its row."""
    next_offsets: dict[int, int] = field(default_factory=dict)

    @property
    def anomalies(self) -> dict[Place, Row]:
        """The flagged ones among the scored."""
        return {place: row for place, row in self.scored.items() if row["meta_data"]["is_anomaly"]}

    @property
    def users(self) -> set[str]:
        """Everyone who has a row."""
        return {row["user_id"] for row in self.rows.values()}


def replay(log: Iterable[Record], judge: Judge | None = None) -> Expected:
    """Go through the records of the input topic, each partition's in its order."""
    expected = Expected()
    for record in sorted(log, key=lambda record: (record.partition, record.offset)):
        expected.next_offsets[record.partition] = record.offset + 1
        reason = dict(record.headers).get("expected")
        if reason is None:
            _score(expected, record, judge or _verdict)
        elif reason != b"tombstone":
            letter = (reason.decode(), record.key, _kept(record.value or b""))
            expected.letters[record.partition, record.offset] = letter
    return expected


def _kept(value: bytes) -> bytes:
    """What a dead letter keeps: all, or of what no letter has room for the first 999,000 bytes."""
    return value if len(value) <= LETTER_BYTES - KEY_BYTES else value[: LETTER_BYTES - 1_000]


def _score(expected: Expected, record: Record, judge: Judge) -> None:
    row = _row(record.value or b"")
    sent, user = deepcopy(row), row["user_id"]
    window = expected.windows[user]
    if row["id"] in window.ids:
        former, former_row = expected.newest[user, row["id"]]
        if former == sent:
            return
        verdict = {name: former_row["meta_data"][name] for name in VERDICT if name in former_row["meta_data"]}
        if verdict.keys() <= SAYS_NOTHING:
            verdict.pop("decision", None)
        row["meta_data"] |= verdict | {"revision": verdict.get("revision", 1) + 1}
        expected.rows.pop(_key(former), None)
        expected.rows[_key(row)] = row
    else:
        amounts = window.amounts.pop(row["currency"], [])
        amount = _hundredths(row["amount"])
        row["meta_data"] |= judge(row, amounts, (record.partition, record.offset))
        expected.rows.setdefault(_key(row), row)
        window.amounts[row["currency"]] = [*amounts, amount][-SIZE:]
        window.ids = [*window.ids, row["id"]][-RECENT:]
        window.updated_at = record.timestamp
    expected.newest[user, row["id"]] = sent, row
    expected.scored[record.partition, record.offset] = row
    window.last_offset = record.offset


def _key(row: Row) -> tuple[str, str, str]:
    return row["id"], row["txn_date"], row["user_id"]


def _verdict(row: Row, amounts: list[int], _: Place) -> Row:
    amount = _hundredths(row["amount"])
    if len(amounts) < MINIMUM or sum(amounts) == 0 or amount <= FACTOR * Fraction(sum(amounts), len(amounts)):
        return {"is_anomaly": False}
    mean = Fraction(sum(amounts), len(amounts))
    return {
        "is_anomaly": True,
        "detector": "rolling_mean",
        "rule": RULE,
        "mean": _text(round(mean)),
        "window": len(amounts),
        "ratio": round(float(amount / mean), 4),
        "threshold": _text(round(FACTOR * mean)),
    }


def _row(value: bytes) -> Row:
    sent = json.loads(value, parse_float=Decimal)
    date = datetime.fromisoformat(sent["txn_date"]).astimezone(UTC)
    return {
        "id": str(UUID(sent["id"])),
        "user_id": str(UUID(sent["user_id"])),
        "amount": _text(_hundredths(sent["amount"])),
        "currency": sent["currency"],
        "txn_date": date.isoformat().replace("+00:00", "Z"),
        "status": sent["status"],
        "meta_data": {
            name: value for name, value in (sent.get("meta_data") or {}).items() if name not in VERDICT
        },
        **{name: sent[name] for name in OPTIONAL if sent.get(name)},
    }


def _hundredths(amount: str | int | Decimal) -> int:
    return int(Decimal(amount).scaleb(2))


def _text(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}"


@dataclass(slots=True)
class Findings:
    """Where what was found differs from what must be: nothing anywhere is what a run has to end with."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def compare(self, where: str, expected: Mapping[Any, Any], found: Iterable[tuple[Any, Any]]) -> None:
        """Hold what was found, by key, against what must be there under each key exactly once."""
        seen: set[Any] = set()
        for key, value in found:
            if key in seen or key not in expected:
                self.doubled.append(f"{where}: {key}")
            elif value != expected[key]:
                self.wrong.append(f"{where}: {key}: {value}, not {expected[key]}")
            seen.add(key)
        self.lost += [f"{where}: {key}" for key in expected if key not in seen]

    @property
    def nothing(self) -> bool:
        """Whether all is as it must be."""
        return not (self.lost or self.doubled or self.wrong)

    def __str__(self) -> str:
        """The counts and a few of each kind."""
        kinds = (("lost", self.lost), ("doubled", self.doubled), ("wrong", self.wrong))
        return "; ".join(f"{len(found)} {name} {found[:4]}" for name, found in kinds)
