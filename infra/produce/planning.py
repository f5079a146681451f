"""What is sent of a file, and how: which of its columns, in which order, and what is looked at before."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass

from infra.produce.errors import DamagedInputError
from infra.produce.exported import is_export
from infra.produce.files import STDIN, Input, checked_utf8, first_lines, open_input
from infra.produce.mapped import MappedReader
from infra.produce.options import Reading
from infra.produce.order import check_order, in_order
from infra.produce.rows import Item, Source
from infra.produce.unchanged import read_unchanged
from schemas.transaction import Decoder


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent: `waits` where the next item may take long, `check` what looks at the first items."""

    source: Source
    opened: Input | None = None
    """What tells how much is done: not of a file that is read whole before the first is sent."""
    waits: bool = False
    check: Callable[[Sequence[Item], bool], None] | None = None
    can_go_on: bool = False
    """Whether the same comes again when it is read once more."""


@dataclass(frozen=True, slots=True)
class FilePlanner:
    """Looks at a file that is open; `say` is told what a person is to know before anything is sent."""

    reading: Reading
    decoder: Decoder
    say: Callable[[str], None]
    _: KW_ONLY
    raw: bool = False

    def plan(self, opened: Input) -> Plan:
        """What is sent of it.

        Raises:
            InputError: It cannot be read so.
        """
        for note in opened.notes:
            self.say(note)
        if self.raw:
            return Plan(read_unchanged(opened.lines()), opened, waits=opened.waits)
        exported, rows = self._rows(opened)
        again = not opened.waits and opened.path != STDIN
        if self.reading.sort or (exported and not self.reading.as_is):
            if exported:
                self.say("an export of txnwatch: sent by date, without the verdicts")
            return Plan(in_order(rows), waits=True, can_go_on=again)
        check = None if self.reading.as_is else check_order
        return Plan(rows, opened, waits=opened.waits, check=check, can_go_on=again)

    def _rows(self, opened: Input) -> tuple[bool, Source]:
        """Whether it is an export of the API's, and its rows."""
        if self.reading.definition is not None:
            if not self.reading.told_encoding:
                self._look_at(opened, deque[bytes](maxlen=0).extend)  # a line that is not UTF-8 is an error
            reader = MappedReader(self.reading.definition, self.decoder)
            return False, reader.read(opened, self._lines(opened))
        head, lines = first_lines(self._lines(opened))
        exported = is_export(head)
        columns = self.reading.reader(decoder=self.decoder, exported=exported, say=self.say)
        if not (self.reading.sort or (exported and not self.reading.as_is)):
            self._look_at(opened, columns.check_amounts)
        return exported, columns.read(lines)

    def _look_at(self, opened: Input, check: Callable[[Iterator[bytes]], object]) -> None:
        """Read all lines before any is sent, where they can be read twice."""
        if opened.path != STDIN and not opened.waits and opened.typed is None:
            with open_input(opened.path, self.reading.form()) as again, suppress(DamagedInputError):
                check(self._lines(again))

    def _lines(self, opened: Input) -> Iterator[bytes]:
        return opened.lines() if self.reading.told_encoding else checked_utf8(opened.lines())
