"""Opens a file as history: of which kind it is, and which columns it has."""

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from itertools import chain

from infra.produce.columns import described
from infra.produce.errors import InputError
from infra.produce.exported import is_export
from infra.produce.files import Input, first_lines, is_cut
from infra.produce.labels import LabelWords, label_columns
from infra.produce.options import Reading
from infra.produce.rows import RejectedRow, RowReader, json_fields
from infra.produce.tables import csv_rows, first_line, header_of
from schemas.transaction import Decoder
from stream_app.commands.backtest.ordinary import REQUIRED, OrdinaryForm
from stream_app.commands.backtest.rows import Piece
from stream_app.commands.backtest.tables import CsvTable, JsonTable, OneByOne
from stream_app.detectors import verdict_names


@dataclass(frozen=True, slots=True)
class FileHistory:
    """Reads a file's rows in pieces; `now` bounds their dates, as a worker would at that time."""

    reading: Reading
    now: datetime
    max_bytes: int
    max_ahead: timedelta
    _: KW_ONLY
    words: LabelWords = field(default_factory=LabelWords)
    say: Callable[[str], None] = lambda _: None
    block_bytes: int = 1 << 15

    def read(self, opened: Input) -> tuple[bool, Iterator[Piece]]:
        """Whether it is an export of the API's, newest row first; and the rows.

        Raises:
            InputError: It is neither CSV nor JSON lines, or lacks a column.
        """
        head, _ = first_lines(opened.lines())
        exported, left = is_export(head), iter(head)
        begin, lines = first_line(chain(left, opened.lines()))
        reader = self._reader(exported=exported)
        if begin.startswith(b"{"):
            rest = chain([begin], left)
            return exported, self._objects(
                reader, begin, chain([b"".join(rest)], opened.blocks(self.block_bytes))
            )
        if not begin:
            return False, iter(())
        if is_cut(begin):
            raise InputError("neither CSV nor JSON lines: its first line has no end")
        table = csv_rows(begin, lines)
        header = header_of(table)
        blocks = chain(filter(None, [b"".join(left)]), opened.blocks(self.block_bytes))
        return exported, self._table(reader, begin, header, table.line_num).read(blocks)

    def _reader(self, *, exported: bool) -> RowReader:
        decoder, now = Decoder(self.max_bytes, self.max_ahead, verdict_names()), self.now.timestamp() * 1000
        return self.reading.reader(decoder=decoder, now_ms=lambda: int(now), exported=exported)

    def _table(self, reader: RowReader, begin: bytes, header: list[str], line: int) -> CsvTable:
        places = reader.places(header)
        labels = {name: header.index(column) for name, column in self._labels(header).items()}
        names = {at: name for name, at in (places | labels).items()}
        form = self._form(reader, [(column, names.get(at)) for at, column in enumerate(header)])
        alone = OneByOne(reader, self.words, labels)
        return CsvTable(alone, form, line + 1, begin, len(header), places | labels)

    def _objects(self, reader: RowReader, begin: bytes, blocks: Iterator[bytes]) -> Iterator[Piece]:
        fields = json_fields(1, begin)
        names = [] if isinstance(fields, RejectedRow) else [*fields]
        labels = self._labels(names)
        fields_of = {column: name for name, column in (reader.columns.pick(tuple(names)) | labels).items()}
        columns = {name: fields_of.get(name) for name in names}
        alone, form = OneByOne(reader, self.words, labels), self._form(reader, [*columns.items()])
        return JsonTable(alone, form, 1, columns).read(blocks)

    def _labels(self, names: list[str]) -> dict[str, str]:
        found = label_columns(names, self.reading.mapping)
        if absent := sorted(set(found.values()) - set(names)):
            raise InputError(f"no column {', '.join(absent)}; there are: {', '.join(names)}")
        return found

    def _form(self, reader: RowReader, columns: list[tuple[str, str | None]]) -> OrdinaryForm | None:
        """None where not one row can be of it."""
        picked = {name: column for column, name in columns if name}
        if said := described(picked, [column for column, _ in columns]):
            self.say(said)
        if reader.exported or (reader.marks.are_named and reader.marks.decimal != "."):
            return None
        if not picked.keys() >= REQUIRED - reader.defaults.keys():
            return None
        latest = self.now + self.max_ahead
        return OrdinaryForm(reader.defaults, self.words, latest, assume_utc=reader.assume_utc)
