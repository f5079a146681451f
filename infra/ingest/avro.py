"""Avro data, by schemas as fastavro parses them: decimals and dates exact, as Python has them."""

import json
from collections.abc import Callable
from functools import partial
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
    schema = _parsed(written, named)
    read = compiled(schema, named)
    return read if isinstance(schema, dict) and schema["type"] == "record" else partial(_record, read)


def _record(read: Callable[[bytes], Any], data: bytes) -> dict[str, Any]:
    """A record of a schema that may have other values, too."""
    found = read(data)
    if not isinstance(found, dict):
        raise Unmapped("avro", f"no record, but {type(found).__name__}")
    return found


def _parsed(written: WrittenSchema, named: dict[str, Any]) -> Any:
    for one in written.referred:
        _parsed(one.written, named)
    return fastavro.parse_schema(json.loads(written.text, object_hook=_of_any_length), named_schemas=named)


def _of_any_length(schema: dict[str, Any]) -> dict[str, Any]:
    """A decimal without its precision: longer ones are taken, too."""
    return schema if schema.get("logicalType") != "decimal" else {**schema, "precision": None}
