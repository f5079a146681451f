"""Avro data, by schemas as fastavro parses them: decimals and dates exact, as Python has them."""

import json
from collections.abc import Callable
from typing import Any

import fastavro

from infra.ingest.avro_code import compiled
from infra.ingest.schema_kinds import WrittenSchema
from schemas.mapping import Unmapped


def reader(written: WrittenSchema) -> Callable[[bytes], dict[str, Any]]:
    """What reads data of this schema, which has to be a record.

    Raises:
        Exception: The schema cannot be used.
    """
    named: dict[str, Any] = {}
    its = compiled(_parsed(written, named), named)

    def read(data: bytes) -> dict[str, Any]:
        try:
            found, end = its(data, 0)
        except Exception as error:  # noqa: BLE001 - whatever it stumbles over in bytes of any kind
            raise Unmapped("avro", f"not by its schema: {type(error).__name__}: {error}"[:500]) from None
        if end != len(data):
            raise Unmapped("avro", _left(len(data) - end))
        if not isinstance(found, dict):
            raise Unmapped("avro", f"no record, but {type(found).__name__}")
        return found

    return read


def _left(count: int) -> str:
    return f"{count} bytes more than its schema has" if count > 0 else f"not by its schema: {-count} missing"


def _parsed(written: WrittenSchema, named: dict[str, Any]) -> Any:
    for one in written.referred:
        _parsed(one.written, named)
    return fastavro.parse_schema(json.loads(written.text, object_hook=_of_any_length), named_schemas=named)


def _of_any_length(schema: dict[str, Any]) -> dict[str, Any]:
    """A decimal without its precision: longer ones are taken, too."""
    return schema if schema.get("logicalType") != "decimal" else {**schema, "precision": None}
