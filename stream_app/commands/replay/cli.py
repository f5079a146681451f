"""The command line of `txnwatch replay`."""

import asyncio
from collections.abc import Iterator
from time import monotonic
from typing import Any
from uuid import UUID

import click
import msgspec

from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.services import KAFKA, POSTGRES
from infra.runtime.settings import SettingsError
from stream_app.commands.replay.differences import (
    AGAIN,
    DIFFERENT,
    DROPPED,
    OPEN,
    REVISED,
    SAME,
    UNPROVEN,
    Mismatch,
    PartitionFindings,
)
from stream_app.commands.replay.run import ReplayRequest, Report, replay
from stream_app.settings import Settings

_WORDS = {
    SAME: "the same",
    REVISED: "replaced by a revision since",
    AGAIN: "scored a second time, and stored as they were first",
    DROPPED: "of months that were dropped",
    OPEN: "whose rows are of something later than --limit",
    UNPROVEN: "that differ where that proves nothing",
    DIFFERENT: "different",
}
_TELL_SECONDS = 5.0


@click.command("replay")
@click.option("--partition", "partitions", type=click.IntRange(min=0), multiple=True, help="Only this one.")
@click.option("--user", type=click.UUID, help="Only this user's transactions.")
@click.option("--limit", type=click.IntRange(min=1), help="End after about so many transactions.")
@click.option("--from-db", is_flag=True, help="Take the rows in Postgres in place of the topic.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.pass_context
def command(
    ctx: click.Context, /, *, partitions: tuple[int, ...], user: UUID | None, as_json: bool, **asked: Any
) -> None:
    """Score again what was scored, and compare with the rows in Postgres.

    The topic is read from its beginning, and each decision and setting holds from the offset on from which it
    did. Workers may run. Exit code 1: a verdict is another than was given.

    With --from-db the topic is not needed: rows say where they came from, and what they were before they were
    revised is kept.
    """
    request = ReplayRequest(partitions, str(user or ""), **asked)
    with ending_in_one_line(StopError, SettingsError, KAFKA, POSTGRES):
        report = asyncio.run(replay(Settings.load(), request, ReplayProgress().tell))
    click.echo(msgspec.json.encode(report) if as_json else "\n".join(_lines(report)))
    ctx.exit(int(report.differs))


class ReplayProgress:
    """Says how far it is, every few seconds."""

    def __init__(self) -> None:
        self._next = monotonic() + _TELL_SECONDS

    def tell(self, partition: int, offset: int, end: int) -> None:
        """Say it, when it is time."""
        if monotonic() >= self._next:
            self._next = monotonic() + _TELL_SECONDS
            click.echo(f"partition {partition}: offset {offset:,} of {end:,}", err=True)


def _lines(report: Report) -> Iterator[str]:
    for one in report.partitions:
        yield from _of_partition(one)
    yield f"{sum(report.counts.values()):,} verdicts compared"
    for name, words in _WORDS.items():
        if report.counts[name] or name in {SAME, DIFFERENT}:
            yield f"{report.counts[name]:>12,} {words}"
    proving = [one for found in report.partitions for one in found.differences]
    if first := [*proving, *(one for found in report.partitions for one in found.unproven)]:
        yield from _of_difference(first[0])


def _of_partition(found: PartitionFindings) -> Iterator[str]:
    decided = f"by decisions up to {found.decision}" if found.decision else "by the settings alone"
    offsets = (
        f"offsets {found.begins:,} to {found.ends - 1:,}" if found.ends > found.begins else "nothing left"
    )
    yield f"partition {found.partition}: {offsets}, {decided}"
    for gap in found.gaps:
        full = " but for users whose windows are full of what came since" if gap.fills else ""
        to = "on" if gap.end is None else f"to {gap.end - 1:,}"
        yield f"  from offset {gap.start:,} {to} what differs proves nothing{full}: {gap.why}"


def _of_difference(one: Mismatch) -> Iterator[str]:
    at = one.place
    yield ""
    yield f"first: partition {at.partition}, offset {at.offset}: transaction {at.id}"
    yield f"  of user {at.user_id}, {at.txn_date}"
    for field in one.fields:
        yield f"  {field.name}: given {_text(field.given)}, replayed {_text(field.replayed)}"
    yield f"  by {f'decision {one.by}' if one.by else 'the settings'}; why: {one.why}"


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
