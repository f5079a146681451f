"""`txnwatch rules apply`, `show` and `history`: the rule set that holds, changed and looked at."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import asyncpg
import click
import tomli_w

from infra.database import check_database, rights
from infra.decisions.deciding import Decided, decide
from infra.decisions.files import read_checked
from infra.decisions.history import Applied, DecisionError, Proposal, applied, before, find
from infra.decisions.rules_off import rules_off
from infra.decisions.since import FeatureSince, features_since
from infra.decisions.warming import body_of, warming_for
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.postgres import SESSION
from infra.runtime.services import KAFKA, POSTGRES
from infra.runtime.settings import Settings
from infra.runtime.this_user import this_user
from schemas.decision import RULES, WARM, Decision
from schemas.rules.rule_off import RuleOff

T = TypeVar("T")

_READ = rights(("decisions", "decisions_applied", "sink_offsets"), ("SELECT",))
LATER = "kept, and not on the control topic yet (the API, or the next command, does that)"
_SEQ = click.IntRange(min=1)


@click.command("apply")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--seq", type=_SEQ, help="In place of a file, the rule set of this former decision.")
@click.option("--who", help="Who decides; by default the user of this machine.")
@click.option("--why", default="", help="What for, for the history.")
@click.option("--expect", type=click.IntRange(min=0), help="Only if this decision still holds; 0: none.")
@click.option("--warm", is_flag=True, help="Fill features that are new from rows, as if always kept.")
def apply_command(
    file: Path | None, seq: int | None, who: str | None, why: str, expect: int | None, *, warm: bool
) -> None:
    """Have a decisions file hold from now on, in all workers, while they run."""
    if (file is None) == (seq is None):
        raise click.UsageError("Give a FILE, or a former decision with --seq.")
    settings = Settings.load()
    with ending_in_one_line(StopError, KAFKA, POSTGRES):
        by = who or this_user(), why
        decided = asyncio.run(_apply(settings, file, seq, by, expect))
        _tell(decided)
        filled = asyncio.run(_warm(settings, decided.decision.seq, by)) if warm else None
        if filled:
            _tell(filled)
        elif warm:
            click.echo("there is nothing to fill: features have all that rows have")
        made = {one.decision.seq for one in (decided, filled) if one}
        for feature in asyncio.run(_features(settings, decided.decision.seq)):
            if feature.decision in made:
                click.echo(f"{'filled' if feature.from_rows else 'new'}: {feature.sentence}")


def _tell(decided: Decided) -> None:
    click.echo(f"decision {decided.decision.seq} by {decided.decision.who}")
    if decided.unpublished:
        click.echo(f"{LATER}: {decided.unpublished}", err=True)


async def _apply(
    settings: Settings, file: Path | None, seq: int | None, by: tuple[str, str], expect: int | None
) -> Decided:
    body = read_checked(file).plain() if file else await asked(settings, lambda one: _former(one, seq))
    url = settings.postgres.get_secret_value()
    return await decide(settings, url, Proposal(RULES, body, *by), expected=expect)


async def _warm(settings: Settings, seq: int, by: tuple[str, str]) -> Decided | None:
    """Decide to fill what the rule set of this decision asks for; None where there is nothing to fill."""
    topic, url = settings.transactions_topic, settings.postgres.get_secret_value()
    warming = await asked(settings, lambda one: warming_for(one, topic, seq))
    return await decide(settings, url, Proposal(WARM, body_of(warming), *by)) if warming else None


async def _features(settings: Settings, seq: int) -> list[FeatureSince]:
    topic = settings.transactions_topic
    return [*(await asked(settings, lambda one: features_since(one, topic, seq))).values()]


async def _former(connection: asyncpg.Connection, seq: int | None) -> dict[str, object]:
    return (await _rules(connection, seq)).body


@click.command("show")
@click.option("--seq", type=_SEQ, help="Another decision than the newest.")
def show_command(seq: int | None) -> None:
    """Print the rule set that was decided last, as a decisions file, and where it holds already."""
    settings = Settings.load()

    with ending_in_one_line(StopError, POSTGRES):
        held = asyncio.run(asked(settings, lambda one: _held(one, settings.transactions_topic, seq)))
    for line in held.lines():
        click.echo(f"# {line}")
    click.echo(tomli_w.dumps(held.decision.body), nl=False)


class _Held(NamedTuple):
    """A rule set that was decided, and what came of it."""

    decision: Decision
    off: Sequence[RuleOff]
    applied: Sequence[Applied]
    features: Sequence[FeatureSince]

    def lines(self) -> Iterator[str]:
        """As people read it."""
        decision = self.decision
        yield line_of(decision)
        for one in self.applied:
            holds = "holds" if one.seq >= decision.seq else f"waits: the partition is at decision {one.seq}"
            yield f"{one.app_id} partition {one.partition}: {holds}"
        for each in self.off:
            yield f'rule "{each.rule}" is off, as it raised: {" ".join(each.error.split())}'
        yield from (feature.sentence for feature in self.features)


async def _held(connection: asyncpg.Connection, topic: str, seq: int | None) -> _Held:
    decision = await _rules(connection, seq)
    off, progress = await rules_off(connection, decision.seq), await applied(connection, topic)
    features = await features_since(connection, topic, decision.seq)
    return _Held(decision, off, progress, [*features.values()])


@click.command("history")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
def history_command(limit: int) -> None:
    """List the decisions on the rule set, newest first: number, time, who and why."""
    settings = Settings.load()
    with ending_in_one_line(StopError, POSTGRES):
        decisions = asyncio.run(asked(settings, lambda one: before(one, kind=RULES, most=limit)))
    click.echo(
        "\n".join(map(line_of, decisions)) or "nothing was decided: what the workers' settings say holds"
    )


def line_of(decision: Decision) -> str:
    """A decision in a line: number, time, who and why."""
    why = " ".join(decision.why.split())
    return f"decision {decision.seq}, {decision.at:%Y-%m-%d %H:%M:%S} UTC, {decision.who}{why and f': {why}'}"


async def _rules(connection: asyncpg.Connection, seq: int | None) -> Decision:
    """The decision on the rule set of this number, or the newest."""
    decision = await find(connection, RULES, seq)
    if decision is None:
        which = "on the rule set" if seq is None else f"{seq} on the rule set"
        raise DecisionError(f"there is no decision {which}")
    return decision


async def asked(settings: Settings, question: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    """What a question to the database is answered.

    Raises:
        DatabaseError: The database is not one to read.
    """
    async with _connected(settings) as connection:
        return await question(connection)


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(settings.postgres.get_secret_value(), server_settings=SESSION)
    try:
        await check_database(connection, _READ)
        yield connection
    finally:
        await connection.close()
