"""A transaction with its verdict: the records of `transactions.scored` and `anomalies`, the API's rows."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from schemas.money import amount_text
from schemas.transaction import Transaction

Header = tuple[str, bytes]
"""Name and value of a record's header."""


class Flag(msgspec.Struct, frozen=True):
    """Why a transaction is an anomaly: a detector, and its own explanation."""

    detector: str
    evidence: msgspec.Struct
    """What the detector saw; its fields stand beside `detector` in the row."""
    rule: str = ""
    """The rule's version, as `schemas.rule` has it."""


class Scored(msgspec.Struct):
    """The row: its JSON is what every reader of verdicts gets.

    `meta_data` is the producer's, and `is_anomaly`; where that is true, also the fields of `Flag`.
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


class _Row(msgspec.Struct, gc=False):
    """`Scored` with its `meta_data` encoded before."""

    id: str
    user_id: str
    amount: str
    currency: str
    txn_date: datetime
    status: str
    meta_data: msgspec.Raw


_ENCODE = msgspec.json.Encoder(decimal_format="number").encode
_NORMAL = b'{"is_anomaly":false}'


def encode_scored(txn: Transaction, flag: Flag | None) -> tuple[bytes, bytes]:
    """The row of a transaction as JSON, and the row's `meta_data` alone.

    What the producer put into `meta_data` under the names that the verdict uses is overridden. Without a
    flag, `is_anomaly` is the only such name.

    >>> from datetime import UTC
    >>> user = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
    >>> txn = Transaction(user, user, 1230, "INR", datetime(2018, 4, 1, tzinfo=UTC), "paid", {"shop": 7})
    >>> encode_scored(txn, None)[1]
    b'{"shop":7,"is_anomaly":false}'
    >>> Evidence = msgspec.defstruct("Evidence", [("largest", str)])
    >>> print(encode_scored(txn, Flag("large", Evidence("2.00")))[1].decode())
    {"shop":7,"is_anomaly":true,"detector":"large","largest":"2.00"}
    """
    meta = _meta(txn.meta_data, flag)
    row = _Row(
        txn.id,
        txn.user_id,
        amount_text(txn.amount),
        txn.currency,
        txn.txn_date,
        txn.status,
        msgspec.Raw(meta),
    )
    return _ENCODE(row), meta


def _meta(given: dict[str, Any] | None, flag: Flag | None) -> bytes:
    if flag is not None:
        rule = {"rule": flag.rule} if flag.rule else {}
        verdict = {
            "is_anomaly": True,
            "detector": flag.detector,
            **rule,
            **msgspec.structs.asdict(flag.evidence),
        }
        return _ENCODE({**(given or {}), **verdict})
    return _ENCODE({**given, "is_anomaly": False}) if given else _NORMAL


def source_headers(partition: int, *others: Header) -> Callable[[int], list[Header]]:
    """A function from a source offset of this partition to the headers that name both, and others.

    >>> source_headers(3, ("rule", b"0a1b2c3d"))(17)
    [('source-partition', b'3'), ('source-offset', b'17'), ('rule', b'0a1b2c3d')]
    """
    of_partition = ("source-partition", b"%d" % partition)
    return lambda offset: [of_partition, ("source-offset", b"%d" % offset), *others]


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
