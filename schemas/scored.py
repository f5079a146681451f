"""A transaction with its verdict: the records of `transactions.scored` and `anomalies`, the API's rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from schemas.money import amount_text
from schemas.rules.rule_set import Severity
from schemas.strict_json import exact_number
from schemas.transaction import Transaction

Header = tuple[str, bytes]
"""Name and value of a record's header."""


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule that fired, and what it saw."""

    rule: str
    """Its name."""
    severity: Severity
    message: str
    numbers: Mapping[str, str | bool] = {}
    """What its condition asked for, by its text; what was absent is left out. Money has two decimals."""


class Flag(msgspec.Struct, frozen=True):
    """Why a transaction is an anomaly: a detector, and its own explanation; rules, and theirs."""

    detector: str
    evidence: msgspec.Struct | dict[str, Any]
    """What the detector saw; its fields stand beside `detector` in the row."""
    rule: str = ""
    """The rule's version, as `schemas.rule` has it."""
    reasons: Sequence[Reason] = ()
    """The rules by which it is flagged, the gravest first."""

    @property
    def evidence_facts(self) -> dict[str, Any]:
        """The evidence's fields."""
        return self.evidence if isinstance(self.evidence, dict) else facts_of(self.evidence)

    @property
    def facts(self) -> dict[str, Any]:
        """What a row's `meta_data` says of it."""
        facts = {
            "detector": self.detector,
            **({"rule": self.rule} if self.rule else {}),
            **self.evidence_facts,
        }
        if self.reasons:
            facts |= {"severity": self.reasons[0].severity, "reasons": self.reasons}
        return facts


def facts_of(evidence: msgspec.Struct) -> dict[str, Any]:
    """The fields that are set."""
    facts = msgspec.structs.asdict(evidence)
    if msgspec.UNSET in facts.values():
        facts = {name: value for name, value in facts.items() if value is not msgspec.UNSET}
    return facts


Shadow = dict[str, dict[str, Any]]
"""What detectors that only watch say: by name each one's score, and its evidence. Rules' are `reasons`."""
Beside = dict[str, list[dict[str, Any]]]
"""What rules say beside a flag, `watched` and `allowed`: reasons; of a detector the facts of its flag."""


class Scored(msgspec.Struct):
    """The row: its JSON is what every reader of verdicts gets.

    `meta_data` is the producer's, and `is_anomaly`; where that is true, also the fields of `Flag`; of a
    revision also `revision`: 2 and up; `decision`, the number of the rule set that decided, if any; and
    `shadow` where a detector that only watches would have flagged it, `watched` and `allowed` where rules say
    so.
    What follows `meta_data` is there only where the transaction has it.
    """

    id: str
    user_id: str
    amount: str
    """Decimal text with two decimals."""
    currency: str
    txn_date: datetime
    """Aware, in UTC."""
    status: str
    meta_data: dict[str, Any]
    merchant_id: str | UnsetType = UNSET
    card_id: str | UnsetType = UNSET
    country: str | UnsetType = UNSET
    """Two capitals."""
    channel: str | UnsetType = UNSET


class _Row(msgspec.Struct, gc=False):
    """`Scored` with its `meta_data` encoded before."""

    id: str
    user_id: str
    amount: str
    currency: str
    txn_date: datetime
    status: str
    meta_data: msgspec.Raw


class _FullRow(_Row, gc=False, omit_defaults=True):
    """The same with the optional fields: a row that has none of them does not pay for these."""

    merchant_id: str | None = None
    card_id: str | None = None
    country: str | None = None
    channel: str | None = None


_ENCODE = msgspec.json.Encoder(decimal_format="number").encode
_FACTS = msgspec.json.Decoder(dict[str, Any], float_hook=exact_number)
_NORMAL = b'{"is_anomaly":false}'
_NORMAL_RAW = msgspec.Raw(_NORMAL)
_SAID = ["is_anomaly", "detector", "rule", "decision", "revision", "shadow"]
VERDICT_NAMES = frozenset([*_SAID, "severity", "reasons", "watched", "allowed"])
"""What a verdict says in `meta_data`, beside each detector's evidence."""
FIRST_REVISION = 2
"""The number of an id's second content."""
_BESIDE = "beside"
RULE_HEADER = "rule"
"""The header that names the rule's version."""


def encode_scored(  # noqa: PLR0917 - given by name, the last would cost 0.2 µs a row
    txn: Transaction,
    flag: Flag | None,
    revision: int = 0,
    shadow: Shadow | None = None,
    beside: Beside | None = None,
    decision: int = 0,
) -> tuple[bytes, bytes]:
    """The row of a transaction as JSON, and the row's `meta_data` alone.

    `decision` is the number of the rule set that decided; 0: of none.

    What the producer put into `meta_data` under the names that the verdict uses is overridden; a `Decoder`
    leaves out the names that other verdicts use.

    >>> from datetime import UTC
    >>> user = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
    >>> txn = Transaction(user, user, 1230, "INR", datetime(2018, 4, 1, tzinfo=UTC), "paid", {"shop": 7})
    >>> encode_scored(txn, None)[1]
    b'{"shop":7,"is_anomaly":false}'
    >>> Evidence = msgspec.defstruct("Evidence", [("largest", str)])
    >>> print(encode_scored(txn, Flag("large", Evidence("2.00")))[1].decode())
    {"shop":7,"is_anomaly":true,"detector":"large","largest":"2.00"}
    """
    meta, raw = _normal(decision) if decision else (_NORMAL, _NORMAL_RAW)
    if flag is not None or revision or shadow or beside or txn.meta_data:
        meta = _meta(txn.meta_data, flag, revision, _more(shadow, beside, decision))
        raw = msgspec.Raw(meta)
    amount = amount_text(txn.amount)
    if txn.merchant_id or txn.card_id or txn.country or txn.channel:
        return _ENCODE(_full_row(txn, amount, raw)), meta
    return _ENCODE(_Row(txn.id, txn.user_id, amount, txn.currency, txn.txn_date, txn.status, raw)), meta


def _full_row(txn: Transaction, amount: str, meta: msgspec.Raw) -> _FullRow:
    row = _FullRow(txn.id, txn.user_id, amount, txn.currency, txn.txn_date, txn.status, meta)
    row.merchant_id, row.card_id, row.country, row.channel = (
        txn.merchant_id,
        txn.card_id,
        txn.country,
        txn.channel,
    )
    return row


@lru_cache(8)
def _normal(decision: int) -> tuple[bytes, msgspec.Raw]:
    meta = _ENCODE({"is_anomaly": False, "decision": decision})
    return meta, msgspec.Raw(meta)


def _more(shadow: Shadow | None, beside: Beside | None, decision: int) -> dict[str, Any]:
    """What is said beside a flag."""
    more: dict[str, Any] = {"decision": decision} if decision else {}
    return {**more, **({"shadow": shadow} if shadow else {}), **(beside or {})}


def _meta(given: dict[str, Any] | None, flag: Flag | None, revision: int, more: dict[str, Any]) -> bytes:
    meta = {**(given or {}), "is_anomaly": flag is not None}
    if flag is not None:
        meta |= flag.facts
    if revision:
        meta["revision"] = revision
    return _ENCODE({**meta, **more} if more else meta)


def encode_flag(
    flag: Flag | None, shadow: Shadow | None = None, beside: Beside | None = None, decision: int = 0
) -> bytes:
    """What was found of a transaction, to be kept for revisions."""
    facts = {} if flag is None else flag.facts
    return _ENCODE({**facts, **_more(shadow, None, decision), **({_BESIDE: beside} if beside else {})})


def decode_flag(data: bytes) -> tuple[Flag | None, Shadow | None, Beside | None, int]:
    """What `encode_flag` made these bytes of; nothing of none.

    >>> decode_flag(encode_flag(Flag("large", {"largest": "2.00"})))
    (Flag(detector='large', evidence={'largest': '2.00'}, rule='', reasons=()), None, None, 0)
    >>> decode_flag(encode_flag(None, {"large": {"score": 7}}, None, 3)), decode_flag(b"")
    ((None, {'large': {'score': 7}}, None, 3), (None, None, None, 0))
    """
    facts = _FACTS.decode(data or b"{}")
    shadow, detector = facts.pop("shadow", None), facts.pop("detector", None)
    beside, reasons = facts.pop(_BESIDE, None), facts.pop("reasons", ())
    decision = facts.pop("decision", 0)
    if reasons:
        del facts["severity"]
    flag = detector and Flag(
        detector, facts, facts.pop("rule", ""), msgspec.convert(reasons, tuple[Reason, ...])
    )
    return flag, shadow, beside, decision


def source_headers(partition: int, *others: Header) -> Callable[[int], list[Header]]:
    """A function from a source offset of this partition to the headers that name both, and others.

    >>> source_headers(3, ("rule", b"0a1b2c3d"))(17)
    [('source-partition', b'3'), ('source-offset', b'17'), ('rule', b'0a1b2c3d')]
    """
    of_partition = ("source-partition", b"%d" % partition)
    return lambda offset: [of_partition, ("source-offset", b"%d" % offset), *others]


def moved_headers(date: datetime) -> list[Header]:
    """What a revision of another date says of the one before: with it, the row can be found.

    >>> from datetime import UTC
    >>> moved_from(moved_headers(datetime(2018, 4, 1, tzinfo=UTC))).isoformat(), moved_from([])
    ('2018-04-01T00:00:00+00:00', None)
    """
    return [("moved-from", date.isoformat().encode())]


def moved_from(headers: Iterable[Header]) -> datetime | None:
    """The date that a revision's headers say its transaction had before; None where it is the same."""
    text = dict(headers).get("moved-from")
    return datetime.fromisoformat(text.decode()) if text else None


def source_of(headers: Iterable[Header]) -> tuple[int, int] | None:
    """The source partition and offset that a record's headers name; None where they do not.

    >>> source_of(source_headers(3)(17)), source_of([("source-offset", b"?")])
    ((3, 17), None)
    """
    named = dict(headers)
    try:
        return int(named["source-partition"]), int(named["source-offset"])
    except (KeyError, TypeError, ValueError):  # a header may have no value
        return None
