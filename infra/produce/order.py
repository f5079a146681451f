"""The order of a file's rows: a user's transactions have to come as they happened.

Scored newest first, each would be judged by what came after it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise, starmap

from infra.produce.errors import InputError
from infra.produce.rows import Item, ProducerRecord, Source
from infra.runtime.external_sort import ExternalSort

_FEW = 10
_LATE = 0.1  # of a stream's rows some are late; more are no stream in its order
_BACKWARDS = 0.9  # so many are no lateness: the newest row comes first
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


def check_order(items: Iterable[Item], all_of_them: bool) -> None:  # noqa: FBT001 - called by position
    """Look at the first rows, or at all.

    Each user's own rows count, since the order between users decides nothing. Where these are few so far, and
    more rows are to come, all rows tell no more than whether the newest comes first; a few rows tell nothing.

    Raises:
        InputError: They are not in the order of their dates.
    """
    records = [item for item in items if isinstance(item, ProducerRecord) and item.date is not None]
    (steps, back), late = _counted(_steps_of_users(records)), _LATE
    if steps < _FEW and not all_of_them:
        (steps, back), late = _counted(starmap(_step, pairwise(records))), _BACKWARDS
        if steps < _FEW:
            return
    if back > late * steps:
        raise InputError(_complaint(back, steps))


def in_order(items: Iterable[Item]) -> Source:
    """The records by date, those of one date in their order, after the rows that are rejected.

    Raises:
        InputError: The disk has no room; TMPDIR names the folder.
    """
    with ExternalSort(ProducerRecord, lambda record: record.date or _NEVER) as records:
        for item in items:
            if isinstance(item, ProducerRecord):
                _add(records, item)
            else:
                yield item
        yield from records


def _add(records: ExternalSort[ProducerRecord], record: ProducerRecord) -> None:
    try:
        records.add(record)
    except OSError as error:
        raise InputError(f"cannot be sorted in the folder of TMPDIR: {error.strerror}") from error


def _complaint(back: int, steps: int) -> str:
    what = "the rows are not in the order of their dates"
    if back >= _BACKWARDS * steps:
        what = "the newest row comes first"
    return (
        f"{what}: in the first rows, {back:,} of {steps:,} steps from row to row go back in time. "
        "Say --sort to send them sorted by date, or --as-is to have them scored in this order"
    )


def _counted(steps: Iterable[int]) -> tuple[int, int]:
    """How many steps go forth or back, and how many of these back."""
    counts = Counter(steps)
    return counts[1] + counts[-1], counts[-1]


def _steps_of_users(records: Sequence[ProducerRecord]) -> list[int]:
    """For each row of a user who had one before: 1 later than that, -1 earlier, 0 neither."""
    last: dict[bytes | None, ProducerRecord] = {}
    steps = []
    for record in records:
        if (before := last.get(record.key)) is not None:
            steps.append(_step(before, record))
        last[record.key] = record
    return steps


def _step(one: ProducerRecord, following: ProducerRecord) -> int:
    assert one.date is not None and following.date is not None  # noqa: S101, PT018 - sifted before
    return (one.date < following.date) - (one.date > following.date)
