"""Avro data, by fastavro: logical types exact, as Python has them."""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import fastavro

from infra.ingest.schema_kinds import WrittenSchema
from schemas.mapping import Unmapped

# What would become a type that mappings do not know: left as it is written, a text or a number.
_LEFT = frozenset({"uuid", "time-millis", "time-micros", "duration"})
_LONGEST = 1_000


def reader(written: WrittenSchema) -> Callable[[bytes], dict[str, Any]]:
    """What reads data of this schema, which has to be a record.

    Raises:
        Exception: Of fastavro's: the schema cannot be used.
    """
    named: dict[str, Any] = {}
    for one in written.referred:
        _parsed(one.written, named)
    schema = _parsed(written, named)

    def read(data: bytes) -> dict[str, Any]:
        stream = BytesIO(data)
        try:
            found = fastavro.schemaless_reader(stream, schema, None)
        except Exception as error:  # noqa: BLE001 - whatever it stumbles over in bytes of any kind
            raise Unmapped("avro", f"not by its schema: {type(error).__name__}: {error}"[:500]) from None
        if not isinstance(found, dict):
            raise Unmapped("avro", f"no record, but {type(found).__name__}")
        if stream.tell() != len(data):
            raise Unmapped("avro", f"{len(data) - stream.tell()} bytes more than its schema has")
        return found

    return read


def _parsed(written: WrittenSchema, named: dict[str, Any]) -> Any:
    for one in written.referred:
        _parsed(one.written, named)
    return fastavro.parse_schema(_plain(json.loads(written.text)), named_schemas=named)


def _plain(schema: Any) -> Any:
    """The schema without the logical types that are left as they are written; with decimals of any length.

    Of more digits than its schema's precision, fastavro would round a decimal.
    """
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("logicalType") == "decimal" and schema.get("type") == "bytes":
        return {**schema, "precision": _LONGEST}
    left = {"logicalType"} if schema.get("logicalType") in _LEFT else set()
    return {name: _plain(value) for name, value in schema.items() if name not in left}
