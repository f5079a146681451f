"""Protobuf data by the text of its schema, which protoc compiles when it is met first."""

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

from infra.ingest.exact import scaled
from infra.ingest.schema_kinds import WrittenSchema
from schemas.mapping import Unmapped

Convert = Callable[[Any], Any]

_MAIN: Final = "main.proto"
# What registries have without being asked for it: a schema imports these, and refers to none of them.
_BUILT_IN: Final = Path(__file__).parent / "protos"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS = Decimal(10) ** 9
_MOST_INDEXES = 32
_LONGEST_VARINT = 5


def reader(written: WrittenSchema) -> Callable[[bytes], dict[str, Any]]:
    """What reads data of this schema, the index of whose message stands before it.

    Raises:
        ValueError: Protoc refuses it, and has said why on the standard error output.
        TypeError: The files do not fit together.
    """
    file = _file(written)

    @lru_cache(_MOST_INDEXES)
    def of(path: tuple[int, ...]) -> tuple[type[Message], Convert]:
        found = _message(file, path)
        return GetMessageClass(found), _converter(found, {})

    def read(data: bytes) -> dict[str, Any]:
        try:
            path, start = _indexes(data)
            kind, convert = of(path)
            found: dict[str, Any] = convert(kind.FromString(data[start:]))
        except (DecodeError, IndexError, ValueError, OverflowError) as error:
            raise Unmapped("protobuf", f"not by its schema: {type(error).__name__}: {error}"[:500]) from None
        return found

    return read


def _file(written: WrittenSchema) -> FileDescriptor:
    pool = DescriptorPool()
    with TemporaryDirectory() as folder:
        _write(Path(folder), _MAIN, written)
        paths = [f"-I{folder}", f"-I{_BUILT_IN}", f"-I{files('grpc_tools') / '_proto'}"]
        target = Path(folder, "descriptors")
        if protoc.main(["protoc", *paths, f"--descriptor_set_out={target}", "--include_imports", _MAIN]):
            raise ValueError("protoc does not take it, and has said why before this")
        for file in FileDescriptorSet.FromString(target.read_bytes()).file:
            pool.Add(file)
    return pool.FindFileByName(_MAIN)


def _write(folder: Path, name: str, written: WrittenSchema) -> None:
    """Write the schema and what it imports, all below the folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"it imports {name}, which is no path")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written.text)
    for one in written.referred:
        _write(folder, one.name, one.written)


def _message(file: FileDescriptor, path: tuple[int, ...]) -> Descriptor:
    found = list(file.message_types_by_name.values())[path[0]]
    for index in path[1:]:
        found = found.nested_types[index]
    return found


def _indexes(data: bytes) -> tuple[tuple[int, ...], int]:
    """Which message of the file it is, and where its data begin: a lone zero stands for the first.

    >>> _indexes(bytes([0, 8])), _indexes(bytes([4, 2, 0, 8]))
    (((0,), 1), ((1, 0), 3))
    """
    if data[:1] == b"\0":
        return (0,), 1
    count, at = _zigzag(data, 0)
    if count == 0:
        return (0,), at
    if not 0 < count <= _MOST_INDEXES:
        raise ValueError(f"{count} indexes of messages")
    path = []
    for _ in range(count):
        index, at = _zigzag(data, at)
        if index < 0:
            raise ValueError(f"the index {index} of a message")
        path.append(index)
    return tuple(path), at


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a number has no highest bit
            return (value >> 1) ^ -(value & 1), at + place + 1
    raise ValueError("cut off within the indexes of its message")


def _converter(of: Descriptor, known: dict[str, Convert]) -> Convert:
    """What makes Python's values of a message: a dict, or what its well-known type stands for."""
    if of.full_name in _WELL_KNOWN:
        return _WELL_KNOWN[of.full_name]
    if of.full_name not in known:
        changed: list[tuple[str, bool, Convert | None]] = []
        known[of.full_name] = partial(_converted, [one.name for one in of.fields], changed)
        fields = ((one.name, one.has_presence, _field(one, known)) for one in of.fields)
        changed += [one for one in fields if one[1] or one[2] is not None]
    return known[of.full_name]


def _converted(
    names: list[str], changed: list[tuple[str, bool, Convert | None]], message: Message
) -> dict[str, Any]:
    """Its fields; of some is looked whether they are there, or their values are changed."""
    found = {name: getattr(message, name) for name in names}
    for name, has_presence, convert in changed:
        if has_presence and not message.HasField(name):
            found[name] = None
        elif convert is not None:
            found[name] = convert(found[name])
    return found


def _field(field: FieldDescriptor, known: dict[str, Convert]) -> Convert | None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        value = _single(kind.fields_by_name["value"], known) or _same
        return lambda entries: {str(name): value(one) for name, one in entries.items()}
    single = _single(field, known)
    if not field.is_repeated:
        return single
    return list if single is None else lambda values: [single(one) for one in values]


def _single(field: FieldDescriptor, known: dict[str, Convert]) -> Convert | None:
    if field.message_type is not None:
        return _converter(field.message_type, known)
    if field.enum_type is not None:
        names: Mapping[int, Any] = field.enum_type.values_by_number
        return lambda number: names[number].name if number in names else number
    return _shortest if field.type == FieldDescriptor.TYPE_FLOAT else None


def _same(value: Any) -> Any:
    return value


def _shortest(value: float) -> float:
    """The number of the fewest digits that is this one in 32 bits."""
    packed = struct.pack("<f", value)
    tried = (float(f"{value:.{digits}g}") for digits in range(6, 10))
    return next((one for one in tried if struct.pack("<f", one) == packed), value)


def _value(message: Any) -> Any:
    return message.value


def _time(message: Any) -> datetime:
    return _EPOCH + timedelta(0, message.seconds, message.nanos // 1000)


def _money(message: Any) -> dict[str, Any]:
    amount = (message.units * _NANOS + message.nanos) / _NANOS
    return {"currency_code": message.currency_code, "amount": amount}


_WELL_KNOWN: dict[str, Convert] = {
    "google.protobuf.Timestamp": _time,
    **{
        f"google.protobuf.{kind}Value": _value
        for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
    },
    "google.type.Money": _money,
    "google.type.Date": lambda one: date(one.year, one.month, one.day),
    "google.type.Decimal": lambda one: Decimal(one.value),
    "confluent.type.Decimal": lambda one: scaled(one.value, one.scale),
}
