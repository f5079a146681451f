"""The fields of a fetched record, however it is written and whatever it is wrapped in."""

from collections.abc import Callable, Collection, Iterable
from decimal import Decimal
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from infra.ingest import envelopes
from infra.ingest.envelopes import Envelope
from infra.runtime.cli_errors import StopError
from schemas.mapping import MappingSpec, Unmapped

Fields: TypeAlias = dict[str, Any]

TOMBSTONE: Final = "tombstone"
FORMATS: Final = ("", "json", "avro", "protobuf", *Envelope)
"""What `[source] format` may say: found by content; as it is, no envelope opened; or that envelope alone."""

_FRAMED = b"\0"
_FRAME = 5  # a zero and the schema's number
_CONTENT = "ce_"
_BOM = b"\xef\xbb\xbf"
_JSON = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NOT_READ = (*_NO_JSON, Unmapped, KeyError)


class FormatError(StopError):
    """A mapping names a format that records of a topic cannot have."""


class ForeignRecord(Protocol):
    """What is read of a fetched record, or of the dead letter that was one."""

    key: bytes | None
    value: bytes | None
    timestamp: int

    @property
    def headers(self) -> Iterable[tuple[str, bytes | None]]:
        """In their order."""


class Schemas(Protocol):
    """Schemas by their numbers in a registry."""

    def lacking(self, numbers: Collection[int]) -> set[int]:
        """Those of the numbers whose schemas are not here yet."""

    async def load(self, numbers: Collection[int]) -> None:
        """Have the schemas here; a registry that does not answer is waited for."""

    def reader(self, number: int, kind: str) -> Callable[[bytes], Fields]:
        """What reads the bytes after the frame, if the schema is of this kind ("": of any).

        Raises:
            Unmapped: It is not, or there is no such schema.
        """


class Decoding:
    """Reads records that are written in one of FORMATS.

    With a mapping that names them, fields are also `kafka.key`, `kafka.timestamp` (milliseconds),
    `kafka.headers.NAME`, and what stands beside the data in envelopes: `cloudevent.time`, `debezium.ts_ms`.
    """

    def __init__(self, spec: MappingSpec, schemas: Schemas) -> None:
        if spec.source.format not in FORMATS:
            said = f"[source] format = {spec.source.format!r}"
            raise FormatError(f"{said}: for topics it is one of {', '.join(FORMATS[1:])}, or left out")
        self._format = spec.source.format
        self._schemas = schemas
        self._opens = self._format in ("", *Envelope)
        self._is_framed = self._format != "json"
        self._may_be_json = self._format not in {"avro", "protobuf"}
        named = msgspec.json.encode(spec)
        self._beside = {
            name for name in ("kafka", *envelopes.BESIDE.values()) if f'"{name}.'.encode() in named
        }
        self._may_be_bare = self._format not in {*Envelope} and "kafka" not in self._beside
        self._readers: dict[bytes, Callable[[bytes], Fields]] = {}

    async def prepare(self, records: Iterable[ForeignRecord]) -> None:
        """Have here what reading the records needs."""
        if self._is_framed:
            frames = {(record.value or b"")[:_FRAME] for record in records}
            framed = [frame for frame in frames if frame[:1] == _FRAMED and len(frame) == _FRAME]
            numbers = {int.from_bytes(frame[1:]) for frame in framed}
            if lacking := self._schemas.lacking(numbers):
                await self._schemas.load(lacking)

    def decode_many(self, records: Iterable[ForeignRecord]) -> list[Fields | str | Unmapped]:
        """What `decode` says of each, its errors returned: what is in no envelope in half the time."""
        found: list[Fields | str | Unmapped] = []
        bare = self._may_be_bare
        for record in records:
            fields = self._bare(record.value) if bare and record.value and not record.headers else None
            found.append(self._decoded(record) if fields is None or envelopes.may_be_one(fields) else fields)
        return found

    def _bare(self, value: bytes) -> Fields | None:
        """Its fields, unless something is wrong with it."""
        try:
            if value[0] or not self._is_framed:
                return _JSON(value) if self._may_be_json else None
            return self._readers[value[:_FRAME]](value[_FRAME:])
        except _NOT_READ:
            return None

    def _decoded(self, record: ForeignRecord) -> Fields | str | Unmapped:
        try:
            return self.decode(record)
        except Unmapped as unmapped:
            return unmapped

    def decode(self, record: ForeignRecord) -> Fields | str:
        """Its fields, or a word for a record that is no transaction.

        Raises:
            Unmapped: It cannot be read.
        """
        if record.value is None:
            return TOMBSTONE
        found = self._read(record.value)
        if self._opens:
            attributes = _attributes(record.headers) if record.headers else None
            opened = envelopes.opened(found, self._format, attributes, self._beside, self._read)
            if isinstance(opened, str):
                return opened
            found = opened
        if "kafka" in self._beside:
            found = {**found, "kafka": _kafka(record)}
        return found

    def _read(self, value: bytes) -> Fields:
        if self._is_framed and value[:1] == _FRAMED and len(value) >= _FRAME:
            kind = "" if self._may_be_json else self._format
            read = self._schemas.reader(int.from_bytes(value[1:_FRAME]), kind)
            self._readers[value[:_FRAME]] = read
            return read(value[_FRAME:])
        if not self._may_be_json:
            raise Unmapped(
                self._format, "it does not begin as the registry's clients write: a zero, the schema's number"
            )
        return json_object(value)


def json_object(text: bytes) -> Fields:
    """The object of this text, its numbers exact.

    Raises:
        Unmapped: It is none.
    """
    try:
        return _JSON(text.removeprefix(_BOM))
    except _NO_JSON as error:
        raise Unmapped("json", str(error)) from None


def _attributes(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str] | None:
    """What the headers say of a CloudEvent in binary mode; None of what is none."""
    found = {
        name.removeprefix(_CONTENT): (value or b"").decode(errors="replace")
        for name, value in headers
        if name.startswith(_CONTENT)
    }
    return found if "specversion" in found else None


def _kafka(record: ForeignRecord) -> dict[str, object]:
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    key = None if record.key is None else record.key.decode(errors="replace")
    return {"key": key, "timestamp": record.timestamp, "headers": headers}
