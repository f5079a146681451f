"""A schema registry as Confluent's serves it over HTTP, as far as readers ask; it can be away or refuse."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import fastavro
from aiohttp import web
from aiohttp.test_utils import TestServer

AVRO = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "ref", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "customer", "type": "string"},
        {"name": "value", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}},
        {"name": "ccy", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
PROTO = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "confluent/type/decimal.proto";
import "common/parties.proto";
message Unrelated { int32 n = 1; }
message Shop {
  message Payment {
    string ref = 1;
    Party customer = 2;
    confluent.type.Decimal value = 3;
    string ccy = 4;
    google.protobuf.Timestamp at = 5;
    optional string note = 6;
    Kind kind = 7;
    repeated int64 parts = 8;
    map<string, float> rates = 9;
  }
  enum Kind { UNKNOWN = 0; SALE = 1; }
}
"""
PARTIES = 'syntax = "proto3"; package shop; message Party { string id = 1; }'


@dataclass
class FakeRegistry:
    """What it has, by number and by subject and version; what it is asked, and what it answers instead."""

    schemas: dict[int, dict[str, Any]] = field(default_factory=dict)
    subjects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    status: int = 200
    authorizations: list[str | None] = field(default_factory=list)
    url: str = ""

    async def by_number(self, request: web.Request) -> web.Response:
        return self._answer(request, self.schemas.get(int(request.match_info["number"])))

    async def by_subject(self, request: web.Request) -> web.Response:
        return self._answer(
            request, self.subjects.get((request.match_info["subject"], request.match_info["version"]))
        )

    def _answer(self, request: web.Request, found: dict[str, Any] | None) -> web.Response:
        self.asked[request.path] += 1
        self.authorizations.append(request.headers.get("Authorization"))
        if found is None and self.status == 200:
            return web.json_response({"error_code": 40403, "message": "Schema not found"}, status=404)
        return web.json_response(found, status=self.status)


def all_kinds() -> FakeRegistry:
    """One with an Avro schema (1), a Protobuf schema that refers to another (2) and a JSON Schema (3)."""
    references = [{"name": "common/parties.proto", "subject": "shop/parties", "version": 4}]
    return FakeRegistry(
        schemas={
            1: {"schema": json.dumps(AVRO)},
            2: {"schema": PROTO, "schemaType": "PROTOBUF", "references": references},
            3: {"schema": "{}", "schemaType": "JSON"},
        },
        subjects={("shop/parties", "4"): {"schema": PARTIES, "schemaType": "PROTOBUF"}},
    )


@asynccontextmanager
async def served(registry: FakeRegistry) -> AsyncIterator[FakeRegistry]:
    """The registry, at its `url` while the block runs."""
    app = web.Application()
    app.router.add_get("/schemas/ids/{number}", registry.by_number)
    app.router.add_get("/subjects/{subject}/versions/{version}", registry.by_subject)
    async with TestServer(app) as server:
        registry.url = str(server.make_url(""))
        yield registry


def framed(number: int, data: bytes) -> bytes:
    """The data as the registry's clients write them."""
    return b"\0" + number.to_bytes(4) + data


def avro(fields: dict[str, Any], schema: Any = AVRO) -> bytes:
    """The fields in Avro."""
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), fields)
    return stream.getvalue()
