"""Envelopes around a record's fields: CloudEvents, Debezium's, and Kafka Connect's schema and payload.

One may be in another, as Debezium's in Connect's. `{"specversion", "id", "source", "type", …}` is a
CloudEvent, `{"op", "after", …}` with `source` or `ts_ms` Debezium's, `{"schema", "payload"}` alone Connect's.
"""

import base64
import binascii
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec

from infra.ingest.exact import scaled
from schemas.mapping import Unmapped


class Envelope(StrEnum):
    """Its kind, as `[source] format` names it."""

    CLOUDEVENTS = "cloudevents"
    DEBEZIUM = "debezium"
    CONNECT = "connect"


BESIDE: Final[dict[str, str]] = {Envelope.CLOUDEVENTS: "cloudevent", Envelope.DEBEZIUM: "debezium"}
"""Under which name a field's path finds what stands in an envelope beside the data."""
DELETED: Final = "deleted"
OTHER_EVENT: Final = "other_event"
EMPTY: Final = "tombstone"

_EVENT = ("specversion", "id", "source", "type")
_ROWS = ("c", "r", "u")  # compared one by one: what else stands there may have no hash
_DEEPEST = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_JSON = msgspec.json.Decoder(float_hook=Decimal).decode

Fields = dict[str, Any]
Read = Callable[[bytes], Fields]


def opened(
    fields: Fields, wanted: str, attributes: dict[str, str] | None, beside: Collection[str], read: Read
) -> Fields | str:
    """What is in the envelopes, or a word for what is no transaction.

    `wanted` names the envelope that there has to be, if one; `attributes` are those of a CloudEvent in binary
    mode; `read` reads data that is in bytes.

    Raises:
        Unmapped: There is no such envelope, or nothing in it.
    """
    seen: dict[str, Any] = {} if attributes is None else {Envelope.CLOUDEVENTS: attributes}
    found: Fields | str = fields
    for _ in range(_DEEPEST):
        if isinstance(found, str) or (kind := _kind(found)) is None:
            break
        outer = found
        found = _OPEN[kind](outer, read)
        seen[kind] = outer
    if wanted and wanted not in seen:
        raise Unmapped("envelope", f"this is no {wanted}: it has {', '.join(sorted(fields))[:100]}")
    if isinstance(found, str) or not beside:
        return found
    return {**found, **{BESIDE[kind]: its for kind, its in seen.items() if BESIDE.get(kind) in beside}}


def may_be_one(fields: Fields) -> bool:
    """Whether it has a name that all envelopes of some kind have."""
    return "schema" in fields or "after" in fields or "specversion" in fields


def _kind(fields: Fields) -> Envelope | None:
    if "payload" in fields and "schema" in fields and len(fields) == 2:  # noqa: PLR2004 - these
        return Envelope.CONNECT
    if "op" in fields and "after" in fields and ("source" in fields or "ts_ms" in fields):
        return Envelope.DEBEZIUM
    if "specversion" in fields and all(name in fields for name in _EVENT):
        return Envelope.CLOUDEVENTS
    return None


def _object(value: object, of: str) -> Fields:
    if isinstance(value, dict):
        return value
    raise Unmapped("envelope", f"{of} has no object in it, but {type(value).__name__}")


def _event(fields: Fields, read: Read) -> Fields | str:
    if isinstance(data := fields.get("data_base64"), str):
        return read(_bytes(data))
    return _object(fields.get("data"), "data")


def _change(fields: Fields, _read: Read) -> Fields | str:
    """The row after the change; Debezium for MongoDB has it as text."""
    if fields["op"] not in _ROWS:
        return DELETED if fields["op"] == "d" else OTHER_EVENT
    after = fields["after"]
    if isinstance(after, str):
        try:
            after = _JSON(after)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unmapped("envelope", f"after: {error}") from None
    return _object(after, "after")


def _payload(fields: Fields, _read: Read) -> Fields | str:
    """The payload, its bytes and numbers as the schema says."""
    payload, schema = fields["payload"], fields["schema"]
    if payload is None:
        return EMPTY
    try:
        return _object(payload if schema is None else typed(payload, schema), "payload")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise Unmapped("envelope", f"payload is not as its schema says: {error!r}") from None


_OPEN = {Envelope.CLOUDEVENTS: _event, Envelope.DEBEZIUM: _change, Envelope.CONNECT: _payload}


def typed(value: Any, schema: Any) -> Any:
    """A value of Connect's JSON as its schema says: decimals exact, bytes as bytes, dates as dates.

    Raises:
        ValueError: It does not fit; KeyError, TypeError and others where the schema is no schema.
    """
    if value is None or isinstance(schema, str):
        return value
    logical = _LOGICAL.get(schema.get("name") or "")
    if logical is not None:
        return logical(value, schema)
    kind = schema["type"]
    if kind == "struct":
        return {one["field"]: typed(value.get(one["field"]), one) for one in schema["fields"]}
    if kind == "array":
        return [typed(one, schema["items"]) for one in value]
    if kind == "map" and isinstance(value, dict):
        return {name: typed(one, schema["values"]) for name, one in value.items()}
    return _bytes(value) if kind == "bytes" else value


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unmapped("envelope", f"no base64: {error}") from None


def _decimal(value: Any, schema: Any) -> Any:
    if not isinstance(value, str):
        return value  # written as a number
    return scaled(_bytes(value), int(schema["parameters"]["scale"]))


_LOGICAL: dict[str, Callable[[Any, Any], Any]] = {
    "org.apache.kafka.connect.data.Decimal": _decimal,
    "org.apache.kafka.connect.data.Date": lambda value, _: date(1970, 1, 1) + timedelta(days=value),
    "org.apache.kafka.connect.data.Timestamp": lambda value, _: _EPOCH + timedelta(milliseconds=value),
    "io.debezium.data.VariableScaleDecimal": lambda value, _: scaled(
        _bytes(value["value"]), int(value["scale"])
    ),
}
