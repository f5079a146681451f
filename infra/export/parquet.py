"""Rows as a Parquet file, made in row groups of the CSV that Postgres writes, with money and dates exact."""

import importlib
import importlib.util
from io import BytesIO
from types import ModuleType
from typing import Any, Self

from schemas.checks import OPTIONAL

COLUMNS = ("id", "user_id", "amount", "currency", "txn_date", "status", "meta_data", *OPTIONAL)
_GROUP_BYTES = 8 << 20
"""Of CSV in a row group: some 40,000 rows of usual length. Twice as much makes files 2 % smaller."""
_MOST_BYTES = 1 << 30  # of what is read at a time: all of it is there


class NoParquetError(Exception):
    """The library that writes Parquet is not installed."""

    def __init__(self) -> None:
        super().__init__("Parquet needs pyarrow, which is not installed: pip install 'txnwatch[parquet]'")


def is_installed() -> bool:
    """Whether Parquet can be written here."""
    return importlib.util.find_spec("pyarrow") is not None


class Taken(BytesIO):
    """What is written and not yet taken out; places count from the first byte on."""

    _before = 0

    def tell(self) -> int:
        """How much was written in all."""
        return self._before + super().tell()

    def take(self) -> bytes:
        """All that is there."""
        taken = self.getvalue()
        self._before += len(taken)
        self.seek(0)
        self.truncate()
        return taken


class ParquetExport:
    """Writes rows, handed over as CSV in pieces that end with a row; needs the memory of a row group.

    `amount` is decimal128(20, 2), `txn_date` a timestamp in microseconds of UTC, `meta_data` JSON as text,
    all others text; an optional field that is absent is null. The file is whole when the block ends well.

    Raises:
        NoParquetError: pyarrow is not installed.
    """

    def __init__(self, file: Any) -> None:
        self._arrow, self._csv, parquet = _libraries()
        self._types = _types(self._arrow)
        schema = self._arrow.schema(list(self._types.items()))
        self._writer = parquet.ParquetWriter(file, schema, compression="zstd")
        self._waiting = Taken()

    def add(self, rows: bytes) -> None:
        """Take these in; they are written once enough are there."""
        self._waiting.write(rows)
        if len(self._waiting.getbuffer()) >= _GROUP_BYTES:
            self._write_group(self._waiting.take())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what is left, and the file's end."""
        try:
            if (rows := self._waiting.take()) and kind is None:
                self._write_group(rows)
        finally:
            self._writer.close()

    def _write_group(self, rows: bytes) -> None:
        csv = self._csv
        table = csv.read_csv(
            self._arrow.py_buffer(rows),
            csv.ReadOptions(column_names=COLUMNS, block_size=_MOST_BYTES, use_threads=False),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(
                column_types=self._types,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))


def _libraries() -> list[ModuleType]:
    try:
        return [importlib.import_module(name) for name in ("pyarrow", "pyarrow.csv", "pyarrow.parquet")]
    except ImportError as error:
        raise NoParquetError from error


def _types(arrow: Any) -> dict[str, Any]:
    exact = {"amount": arrow.decimal128(20, 2), "txn_date": arrow.timestamp("us", tz="UTC")}
    return {name: exact.get(name, arrow.string()) for name in COLUMNS}
