"""`txnwatch produce`: transactions from a file, or made-up ones, to the input topic."""

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
from aiokafka.errors import KafkaError
from rich.console import Console

from infra.produce.delivery import DeliveryError, TopicSender, open_sender
from infra.produce.errors import InputError
from infra.produce.files import STDIN, Input, open_input
from infra.produce.generator import MAX_USERS, Traffic, live_dates, past_dates
from infra.produce.options import Reading, reading_options
from infra.produce.pacing import PacedFeed, SpeedType
from infra.produce.planning import FilePlanner, Plan
from infra.produce.report import Outcomes, progress_bar
from infra.produce.resuming import kept_position, unsent
from infra.produce.rows import Source
from infra.produce.sending import CheckedFeed, DirectFeed, Feed, RateLimit, Sending, WaitingFeed
from infra.runtime.cli_errors import ServiceErrors, ending_in_one_line
from infra.runtime.kafka import TopicsError
from infra.runtime.mapping_files import MappingType
from infra.runtime.services import KAFKA
from infra.runtime.settings import Settings
from schemas.transaction import Decoder

_PAST = timedelta(days=30)
_INTERRUPTED = 130  # the exit code that shells expect of a command ended by Ctrl-C


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    file: Path | None
    generate: int | None
    users: int
    seed: int | None
    full: bool
    rate: float | None
    limit: int | None
    raw: bool
    strict: bool
    speed: float | None
    resume: bool
    reading: Reading

    @property
    def wanted(self) -> int | None:
        """How many to send at most."""
        return min(filter(None, (self.limit, self.generate)), default=None)

    @property
    def endless(self) -> bool:
        """Whether only Ctrl-C ends it."""
        return self.generate is not None and self.wanted is None


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--generate",
    type=click.IntRange(min=0),
    is_flag=False,
    flag_value=0,
    metavar="[N]",
    help="Make up N transactions of the last 30 days, or, with --rate, of now; without N until Ctrl-C.",
)
@click.option(
    "--users", type=click.IntRange(1, MAX_USERS), default=1000, show_default=True, help="Of --generate."
)
@click.option("--seed", type=int, help="Of --generate: the same seed makes the same users, ids and amounts.")
@click.option("--full", is_flag=True, help="Of --generate: with merchants, cards, countries and channels.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Send at most so many a second.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with a FILE where sending it was ended, by Ctrl-C or a kill: no row is sent twice.",
)
@click.option(
    "--speed",
    type=SpeedType(),
    metavar="60x",
    help="Send at the pace of the dates, so many times as fast; 1x is as it was.",
)
@click.option(
    *("--mapping", "definition"),
    type=MappingType(),
    metavar="MAPPING",
    help="How records become transactions: a mapping's file, or the name of a ready-made one (docs/data.md).",
)
@reading_options("Send", "country= takes none.")
@click.option(
    "--raw",
    is_flag=True,
    help="Send each line as it is, looked at by nobody: for trying the dead-letter queue.",
)
@click.option("--strict", is_flag=True, help="Exit with code 1 if any row was rejected.")
@click.pass_context
def produce(context: click.Context, /, **options: object) -> None:
    """Put transactions on the input topic.

    FILE is CSV, JSON, Parquet or a workbook (xlsx), also packed by gzip, bzip2, xz, zstd or zip; - is
    standard input. Columns are found by their names, others are left out. A row that the worker would refuse
    is not sent: it is counted, and listed at the end. An export of the API's is sent by date, without its
    verdicts.
    """
    given = Options(**options)  # type: ignore[arg-type]  # click has checked them
    _check(given)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # DeliveryError says what matters
    settings = Settings.load()
    errors = (
        ServiceErrors(KAFKA.name, (DeliveryError, KafkaError)),
        ServiceErrors(str(given.file), (InputError,)),
    )
    with ending_in_one_line(*errors, TopicsError), ExitStack() as stack:
        console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        form = None if given.raw else given.reading.form()
        opened = stack.enter_context(open_input(given.file, form)) if given.file else None
        plan = _plan(given, settings, opened, console) if opened else Plan(_traffic(given))
        code = asyncio.run(_produce(plan, given, settings, console))
    context.exit(code)


def _check(given: Options) -> None:
    if (given.file is None) == (given.generate is None):
        raise click.UsageError("Give either FILE or --generate.")
    if given.endless and given.rate is None:
        raise click.UsageError("--generate without a number needs --rate or --limit.")
    reading = given.reading
    if given.raw and (given.file is None or reading != Reading(as_is=reading.as_is)):
        raise click.UsageError("--raw sends the lines of FILE as they are: no option can change them.")
    if given.resume and (given.file in (None, STDIN) or given.raw):
        raise click.UsageError("--resume needs a FILE on the disk.")
    if given.speed and (given.file is None or given.raw):
        raise click.UsageError("--speed needs the dates of a FILE.")
    reading.check()


def _traffic(given: Options) -> Source:
    seed = random.randrange(1 << 32) if given.seed is None else given.seed  # noqa: S311 - no secret
    count = given.wanted
    live = given.rate is not None or count is None
    dates = live_dates(count) if live or count is None else past_dates(count, _PAST)
    return Traffic(given.users, seed, full=given.full).records(dates)


def _plan(given: Options, settings: Settings, opened: Input, console: Console) -> Plan:
    decoder = Decoder(settings.max_message_bytes, timedelta(hours=settings.max_ahead_hours))
    return FilePlanner(given.reading, decoder, console.print, raw=given.raw).plan(opened)


async def _produce(plan: Plan, given: Options, settings: Settings, console: Console) -> int:
    asyncio.get_running_loop().set_exception_handler(_skip_connection_errors)
    async with open_sender(settings) as sender, AsyncExitStack() as stack:
        if plan.can_go_on:
            kept = kept_position(given.file or STDIN, settings, console.print, resume=given.resume)
            sender.kept = await stack.enter_async_context(kept)
        elif given.resume:
            raise InputError("it cannot be read twice: --resume needs a file on the disk")
        if given.resume and sender.kept is not None:
            source = await unsent(plan.source, sender.kept, settings, sender.partitioner)
            plan = replace(plan, source=source, waits=True, check=None)  # what is left out may take long
        return await _send(plan, given, sender, console)


async def _send(plan: Plan, given: Options, sender: TopicSender, console: Console) -> int:
    stop, outcomes, kept = asyncio.Event(), Outcomes(), sender.kept
    _stop_on_signals(stop)
    fraction = partial(_fraction, plan.opened, given, outcomes)
    started, complete = time.monotonic(), False
    try:
        with progress_bar(outcomes, fraction, console) as show:
            watch, limit = _both(show, kept.note) if kept else show, RateLimit(given.rate)
            complete = await Sending(
                _feed(plan, given), sender, outcomes, limit, stop, given.wanted, watch
            ).run()
    finally:  # after a failure too: what was delivered until then is on the topic
        outcomes.before = kept.skipped if kept else 0
        click.echo(outcomes.summary(sender.delivered, sender.topic, time.monotonic() - started))
        if kept and kept.close(complete=complete):
            console.print("not all of it is sent: --resume goes on from here")
    return _exit_code(outcomes, given, interrupted=stop.is_set())


def _feed(plan: Plan, given: Options) -> Feed:
    direct = WaitingFeed(plan.source) if plan.waits else DirectFeed(plan.source)
    checked = CheckedFeed(direct, plan.check) if plan.check else direct
    return PacedFeed(checked, given.speed) if given.speed else checked


def _both(show: Callable[[], None], note: Callable[[], object]) -> Callable[[], None]:
    def watch() -> None:
        show()
        note()

    return watch


def _fraction(opened: Input | None, given: Options, outcomes: Outcomes) -> float | None:
    """How much is done, by bytes read or by the number wanted, whichever is further."""
    by_bytes = opened.fraction() if opened else None
    by_number = outcomes.taken / given.wanted if given.wanted else None
    return max((part for part in (by_bytes, by_number) if part is not None), default=None)


def _skip_connection_errors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave these to DeliveryError: aiokafka also leaves futures with them that nothing awaits."""
    if not isinstance(context.get("exception"), ConnectionError):
        loop.default_exception_handler(context)


def _stop_on_signals(stop: asyncio.Event) -> None:
    """Let the first Ctrl-C end it in order, and the next one at once."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def ordered() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, ordered)


def _exit_code(outcomes: Outcomes, given: Options, *, interrupted: bool) -> int:
    if interrupted:
        return 0 if given.endless else _INTERRUPTED
    rejected = outcomes.faults > 0
    # Where all rows are rejected, it is the file that is misread.
    return int(rejected and (given.strict or outcomes.taken + outcomes.before == 0))
