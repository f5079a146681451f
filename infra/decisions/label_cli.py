"""`txnwatch labels`: what became known of transactions, from a file."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from uuid import UUID

import click

from infra.database import session
from infra.decisions.commands import LATER
from infra.decisions.deciding import unpublished
from infra.decisions.labels import NEEDED, Asked, LabelOutcome, give_labels
from infra.produce.files import InputError, open_input
from infra.produce.labels import LabelRow, LabelTable
from infra.produce.rows import RejectedRow
from infra.runtime.cli_errors import ServiceErrors, StopError, ending_in_one_line
from infra.runtime.services import POSTGRES
from infra.runtime.settings import Settings
from infra.runtime.this_user import this_user

_AT_A_TIME = 1000
_PUBLISH_SECONDS = 600
_SHOWN = 10
_UNREADABLE = "not readable"
_WRONG = (_UNREADABLE, LabelOutcome.ABSENT, LabelOutcome.OF_OTHERS, LabelOutcome.AMBIGUOUS)
_SHOWN_LINES = (*_WRONG, LabelOutcome.CHANGED)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--assume-utc", is_flag=True, help="Take dates without an offset as UTC.")
@click.option("--who", help="Who says so; by default the user of this machine.")
@click.option("--why", default="", help="What for, for the history.")
@click.pass_context
def labels(context: click.Context, file: Path, who: str | None, why: str, *, assume_utc: bool) -> None:
    """Give transactions labels: FILE is CSV with id, user_id, txn_date and label, fraud or legitimate.

    Each label that is new is a decision, which workers apply. The same label again changes nothing, so that a
    file can be given again; of two labels of a transaction the later one counts. Ends with 1 where a line
    could not be used, and the others are kept.
    """
    settings, tally = Settings.load(), _Tally()
    with ending_in_one_line(ServiceErrors(str(file), (InputError,)), StopError, POSTGRES):
        reason = _Reason(who or this_user(), why, assume_utc)
        why_not = asyncio.run(_give(file, settings, tally, reason))
    for line in tally.lines():
        click.echo(line)
    if why_not:
        click.echo(f"{LATER}: {why_not}", err=True)
    context.exit(1 if tally.is_wrong else 0)


@dataclass(frozen=True, slots=True)
class _Reason:
    who: str
    why: str
    assume_utc: bool


@dataclass(slots=True)
class _Tally:
    """What became of the lines."""

    counts: Counter[str] = field(default_factory=Counter)
    shown: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, outcome: str, line: int, detail: str = "") -> None:
        self.counts[outcome] += 1
        if len(self.shown[outcome]) < _SHOWN:
            self.shown[outcome].append(f"{line} ({detail})" if detail else str(line))

    @property
    def is_wrong(self) -> bool:
        return any(self.counts[outcome] for outcome in _WRONG)

    def lines(self) -> Iterator[str]:
        yield f"{self.counts.total():,} labels"
        for outcome in (*LabelOutcome, _UNREADABLE):
            if not (count := self.counts[outcome]):
                continue
            where = f": line{'s' if count > 1 else ''} {', '.join(self.shown[outcome])}"
            more = ", ..." if count > _SHOWN else ""
            yield f"{count:,} {outcome}{where + more if outcome in _SHOWN_LINES else ''}"


async def _give(file: Path, settings: Settings, tally: _Tally, reason: _Reason) -> str:
    """Give all labels, and publish them; why that cannot be done now."""
    url = settings.postgres.get_secret_value()
    with open_input(file) as opened:
        rows = _checked(LabelTable(opened.lines(), assume_utc=reason.assume_utc), tally)
        async with session(url, NEEDED) as connection:
            while some := [*islice(rows, _AT_A_TIME)]:
                asked = [Asked(one.id, one.user_id, one.txn_date, bool(one.label)) for one in some]
                answers = await give_labels(connection, asked, reason.who, reason.why)
                for one, answer in zip(some, answers, strict=True):
                    tally.add(answer.outcome, one.line)
    return await unpublished(settings, url, within=_PUBLISH_SECONDS)


def _checked(table: LabelTable, tally: _Tally) -> Iterator[LabelRow]:
    """The lines that can be asked about.

    Raises:
        InputError: There is no column of users or dates.
    """
    if absent := {"user_id", "txn_date"} - {*table.columns}:
        lacking = ", ".join(sorted(absent))
        raise InputError(f"no column {lacking}: a transaction is known by id, user_id and txn_date")
    for row in table.rows():
        fault = row.detail if isinstance(row, RejectedRow) else _fault(row)
        if fault or isinstance(row, RejectedRow):
            tally.add(_UNREADABLE, row.line, fault)
        else:
            yield row


def _fault(row: LabelRow) -> str:
    if row.label is None:
        return "no label"
    try:
        UUID(row.id), UUID(row.user_id)
    except ValueError:
        return "id or user_id is no UUID"
    return ""
