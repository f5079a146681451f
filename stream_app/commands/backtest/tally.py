"""Counts one contender's verdicts into its figures, a day at a time."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from stream_app.commands.backtest.contender import Verdicts
from stream_app.commands.backtest.figures import Judged
from stream_app.commands.backtest.rows import Piece

T = TypeVar("T")


def judged(rows: Piece, verdicts: Verdicts, counted_from: datetime) -> Iterator[Judged]:
    """The transactions that got a first verdict, from a date on: those of one day together."""
    for day, places in _days(rows, verdicts, counted_from):
        yield _of_places(day, rows, verdicts, places)


def _days(rows: Piece, verdicts: Verdicts, counted_from: datetime) -> Iterator[tuple[int, Sequence[int]]]:
    day, count = rows.first.toordinal(), len(rows.transactions)
    if day == rows.last.toordinal() and rows.first >= counted_from and not verdicts.again:
        yield day, range(count)
        return
    days, again = defaultdict[int, list[int]](list), set(verdicts.again)
    for place, date in enumerate([transaction.txn_date for transaction in rows.transactions]):
        if date >= counted_from and place not in again:
            days[date.toordinal()].append(place)
    yield from days.items()


def _of_places(day: int, rows: Piece, verdicts: Verdicts, places: Sequence[int]) -> Judged:
    users = [transaction.user_id for transaction in rows.transactions]
    all_of_them = len(places) == len(users)
    flagged = [at for at, place in enumerate(places) if place in verdicts.flags] if verdicts.flags else []

    def column(of: Sequence[T]) -> Sequence[T]:
        return of if all_of_them or not of else [of[place] for place in places]

    scores: Sequence[Any] = column(verdicts.scores)
    return Judged(day, column(users), scores, column(rows.labels), column(rows.scenarios), flagged)
