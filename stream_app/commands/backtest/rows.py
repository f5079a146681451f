"""Pieces of history, put in order and cut out in time before they are scored."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, compress, islice, zip_longest
from typing import NamedTuple

import msgspec

from infra.produce.errors import InputError
from infra.produce.labels import Label
from infra.produce.order import check_order
from infra.produce.rows import ProducerRecord
from infra.runtime.external_sort import ExternalSort
from schemas.scored import Flag
from schemas.transaction import Transaction

EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)


class RefusedRow(NamedTuple):
    """A row that the worker would refuse, or that is none: its line in the file, and why."""

    line: int
    id: str
    """As the row has it."""
    reason: str
    detail: str


@dataclass(slots=True)
class Piece:
    """Transactions one after the other; `labels`, `scenarios` and `known` have one for each, or are empty."""

    transactions: list[Transaction] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    scenarios: list[str] = field(default_factory=list)
    known: list[datetime | None] = field(default_factory=list)
    """When each label was given."""
    refused: list[tuple[int, RefusedRow]] = field(default_factory=list)
    """Each with how many of the transactions come before it."""
    first: datetime = LATEST
    """The earliest date, which is looked for once all is in its order, like the `last`."""
    last: datetime = EARLIEST

    def add(self, more: "Piece") -> None:
        """Let these follow."""
        before = len(self.transactions)
        self.transactions += more.transactions
        self.labels += more.labels
        self.scenarios += more.scenarios
        self.known += more.known
        self.refused += [(before + at, row) for at, row in more.refused]

    def at(self, places: Sequence[int]) -> "Piece":
        """The transactions of these places, which are in their order."""
        wanted = {*places}
        return self.only([place in wanted for place in range(len(self.transactions))])

    def only(self, wanted: Sequence[bool]) -> "Piece":
        """Those transactions that are wanted, and what is refused."""
        return Piece(
            [*compress(self.transactions, wanted)],
            [*compress(self.labels, wanted)],
            [*compress(self.scenarios, wanted)],
            [*compress(self.known, wanted)],
            [(sum(wanted[:at]), row) for at, row in self.refused],
        )


_FIRST_ROWS = 10_000
_SORTED_AT_ONCE = 5_000


@dataclass(slots=True)
class Verdicts:
    """What became of rows, one for each: its score and its flag, those of the first where it came again."""

    scores: list[float | None] = field(default_factory=list)
    """None of one that came again."""
    flags: dict[int, Flag] = field(default_factory=dict)
    """By the place of the flagged one."""
    again: list[int] = field(default_factory=list)
    """The places of duplicates and revisions."""
    duplicates: int = 0
    unknown: int = 0
    """How many of `again` were not scored at all."""

    def add(self, more: "Verdicts") -> None:
        """Let those of the rows that follow be of one piece with these."""
        before = len(self.scores)
        self.scores += more.scores
        self.flags |= {before + place: flag for place, flag in more.flags.items()}
        self.again += [before + place for place in more.again]
        self.duplicates += more.duplicates
        self.unknown += more.unknown


class _HistoryRow(msgspec.Struct, frozen=True, gc=False):
    transaction: Transaction
    label: Label
    scenario: str | None


def in_order(history: Iterator[Piece]) -> Iterator[Piece]:
    """The same rows, the first ones looked at before any is given.

    Raises:
        InputError: They are not in the order of their dates.
    """
    first, count = list[Piece](), 0
    for rows in history:
        first.append(rows)
        count += len(rows.transactions)
        if count >= _FIRST_ROWS:
            break
    transactions = chain.from_iterable(rows.transactions for rows in first)
    check_order(
        [ProducerRecord(one.user_id.encode(), b"", one.txn_date) for one in transactions], count < _FIRST_ROWS
    )
    return chain(first, history)


def by_date(history: Iterable[Piece]) -> Iterator[Piece]:
    """The rows by date, those of one date in their order, after all that are refused.

    Raises:
        InputError: The disk has no room; TMPDIR names the folder.
    """
    with ExternalSort(_HistoryRow, lambda row: row.transaction.txn_date) as ordered:
        for rows in history:
            yield Piece(refused=rows.refused)
            _put(ordered, rows)
        yield from _pieces(ordered)


def between(history: Iterable[Piece], start: datetime, end: datetime) -> Iterator[Piece]:
    """The rows from `start` on and before `end`."""
    if (start, end) == (EARLIEST, LATEST):
        yield from history
    for rows in history:
        yield rows.only([start <= one.txn_date < end for one in rows.transactions])


def _put(ordered: ExternalSort[_HistoryRow], rows: Piece) -> None:
    columns = (rows.transactions, rows.labels, rows.scenarios)
    try:
        for transaction, label, scenario in zip_longest(*columns):
            ordered.add(_HistoryRow(transaction, label, scenario))
    except OSError as error:
        raise InputError(f"cannot be sorted in the folder of TMPDIR: {error.strerror}") from error


def _pieces(ordered: Iterable[_HistoryRow]) -> Iterator[Piece]:
    left = iter(ordered)
    while some := [*islice(left, _SORTED_AT_ONCE)]:
        yield Piece(
            [one.transaction for one in some],
            [one.label for one in some],
            [one.scenario or "" for one in some],
        )
