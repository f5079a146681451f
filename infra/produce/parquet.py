"""Parquet as JSON lines, a row each."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from infra.produce.errors import DamagedInputError, InputError
from infra.produce.layout import each_once

_ROWS = 1000
# Of each column so much is read ahead: of all together 32 MB, unless there are more than 500.
_LEAST_BUFFER, _MOST_BUFFER, _BUFFERS = 1 << 16, 1 << 20, 32 << 20
_ENCODE = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


class ParquetRows:
    """The rows of a file, from the first on; `fraction` says how many of them are read."""

    def __init__(self, raw: BinaryIO) -> None:
        """Read what the file says of itself, at its end.

        Raises:
            InputError: pyarrow is not installed, or this is no Parquet file.
        """
        try:
            from pyarrow import ArrowException, parquet  # noqa: PLC0415 - an extra
        except ImportError:
            raise InputError("a Parquet file: pip install 'txnwatch[parquet]' reads it") from None
        self._errors = (ArrowException, OSError)
        try:
            # Unbuffered, a whole column of a row group is read at once.
            about = parquet.read_metadata(raw)
            size = max(_LEAST_BUFFER, min(_MOST_BUFFER, _BUFFERS // max(about.num_columns, 1)))
            self._file = parquet.ParquetFile(raw, metadata=about, buffer_size=size, pre_buffer=False)
        except self._errors as error:
            raise InputError(f"no Parquet file that can be read: {error}") from error
        self._read = 0

    def fraction(self) -> float | None:
        """How much has been read, from 0 to 1."""
        return self._read / max(int(self._file.metadata.num_rows), 1)

    def records(self) -> Iterator[dict[str, Any]]:
        """Each row by its columns' names, dates and decimals as such.

        Raises:
            DamagedInputError: The file cannot be read to its end.
        """
        try:
            for batch in self._file.iter_batches(batch_size=_ROWS, use_threads=False):
                for row in _rows(_plain(batch)):
                    self._read += 1
                    yield row
        except self._errors as error:
            raise DamagedInputError(f"cannot be read after row {self._read}: {error}") from error

    def lines(self) -> Iterator[bytes]:
        """Each row as a JSON object in a line."""
        for row in self.records():
            yield encoded(row)


def encoded(row: dict[str, Any]) -> bytes:
    """A row as a line; an object in a text, as files without objects have it, is one again."""
    meta_data = row.get("meta_data")
    if isinstance(meta_data, str) and meta_data.startswith("{"):
        row = {**row, "meta_data": _json_of(meta_data)}
    return _ENCODE(row) + b"\n"


def _json_of(text: str) -> Any:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return msgspec.Raw(text.encode())


def _plain(batch: Any) -> Any:
    """The same rows: text that was written as bytes is text, and no time is finer than Python's."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    for at, field in enumerate(batch.schema):
        kind = field.type
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            column = batch.column(at).cast(pa.timestamp("us", kind.tz), safe=False)
        elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            column = _texts(batch.column(at), pa)
        else:
            continue
        batch = batch.set_column(at, field.name, column)
    return batch


def _rows(batch: Any) -> Iterator[dict[str, Any]]:
    """The rows; a column with a date out of Python's reach, as in the year 10,000, is text."""
    columns = [_values(column) for column in batch.columns]
    names = each_once(batch.schema.names)
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _values(column: Any) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        values = column.cast("string").to_pylist()
    return values


def _texts(column: Any, pa: Any) -> Any:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:  # not UTF-8
        return column
