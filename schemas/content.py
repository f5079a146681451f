"""Whether a row tells of a transaction as it was given, whatever its verdict is."""

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.checks import OPTIONAL
from schemas.money import amount_text
from schemas.scored import VERDICT_NAMES, Scored
from schemas.strict_json import exact_number
from schemas.transaction import Transaction


def _evidence_names(schema: dict[str, Any]) -> set[str]:
    flags = schema["$defs"]["flag"]["oneOf"]
    return {name for flag in flags for name in flag["properties"]}


SAID_NAMES: Final = VERDICT_NAMES | _evidence_names(
    json.loads(Path(__file__).with_name("scored.schema.json").read_bytes())
)
"""What verdicts and the evidence of our detectors say in `meta_data`."""

_ROW = msgspec.json.Decoder(Scored, float_hook=exact_number)


def tells_of(row: bytes | str, one: Transaction) -> bool:
    """Whether the row has this transaction's content, which was decoded without `SAID_NAMES`.

    False where it cannot be told: the evidence of an installed detector may be the producer's own.

    >>> from datetime import UTC, datetime
    >>> from schemas.scored import encode_scored
    >>> user = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
    >>> txn = Transaction(user, user, 1230, "INR", datetime(2018, 4, 1, tzinfo=UTC), "paid", {"shop": 7})
    >>> row, _ = encode_scored(txn, None)
    >>> tells_of(row, txn), tells_of(row.replace(b"paid", b"declined"), txn), tells_of(b"[]", txn)
    (True, False, False)
    """
    try:
        found = _ROW.decode(row)
    except (msgspec.DecodeError, UnicodeError):
        return False
    own = {name: value for name, value in found.meta_data.items() if name not in SAID_NAMES}
    fields = found.id, found.user_id, found.amount, found.currency, found.txn_date, found.status
    return (
        fields == (one.id, one.user_id, amount_text(one.amount), one.currency, one.txn_date, one.status)
        and own == (one.meta_data or {})
        and all((getattr(found, name) or None) == getattr(one, name) for name in OPTIONAL)
    )
