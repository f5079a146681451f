"""What happens to history before it is scored: its order is looked at, and its time is cut out."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice, zip_longest

import msgspec

from infra.produce.files import InputError
from infra.produce.order import check_order
from infra.produce.rows import ProducerRecord
from infra.runtime.external_sort import ExternalSort
from schemas.transaction import Transaction
from stream_app.commands.backtest.rows import EARLIEST, LATEST, Label, Piece

_FIRST_ROWS = 10_000
_SORTED_AT_ONCE = 5_000


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
