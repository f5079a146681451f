"""`txnwatch produce`: transactions from a file, or made-up ones, to the input topic."""

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from infra.produce.columns import FIELDS, Columns
from infra.produce.feed import DirectFeed, Feed, WaitingFeed
from infra.produce.files import InputError, open_input
from infra.produce.generator import MAX_USERS, Traffic, live_dates, past_dates
from infra.produce.pace import Pace
from infra.produce.progress import shown
from infra.produce.readers import Reader, read_untouched
from infra.produce.records import Source
from infra.produce.run import run
from infra.produce.sender import DeliveryError, Sender, open_sender
from infra.produce.settings import Settings, SettingsError
from infra.produce.tally import Tally
from schemas.transaction import Decoder

_PAST = timedelta(days=30)
_INTERRUPTED = 130  # what shells expect of a command ended by Ctrl-C


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    file: Path | None
    generate: int | None
    users: int
    seed: int | None
    rate: float | None
    limit: int | None
    mapping: dict[str, str]
    currency: str | None
    status: str | None
    assume_utc: bool
    raw: bool
    strict: bool

    @property
    def wanted(self) -> int | None:
        """How many to send at most."""
        return min(filter(None, (self.limit, self.generate)), default=None)

    @property
    def endless(self) -> bool:
        """Whether only Ctrl-C ends it."""
        return self.generate is not None and self.wanted is None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the records come from."""

    source: Source
    waits: bool
    """Whether the next one may be a while in coming."""
    read: Callable[[], float | None]
    """How much of it has been read, from 0 to 1; None when nobody can know."""


class Mapping(click.ParamType):
    """`field=column`."""

    name = "field=column"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """The field and the column's name."""
        if isinstance(value, tuple):
            return value
        field, _, column = value.partition("=")
        if field not in FIELDS or not column:
            self.fail(f"{value!r} is not field=column with a field of {', '.join(FIELDS)}", param, ctx)
        return field, column


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
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Send at most so many a second.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.")
@click.option(
    "--map", "mapping", type=Mapping(), multiple=True, help="Which column is which field, e.g. amount=Total."
)
@click.option("--currency", help="For rows that have none.")
@click.option("--status", help="For rows that have none.")
@click.option("--assume-utc", is_flag=True, help="Take dates without an offset as UTC.")
@click.option(
    "--raw",
    is_flag=True,
    help="Send each line as it is, looked at by nobody: for trying the dead-letter queue.",
)
@click.option("--strict", is_flag=True, help="Exit with code 1 if any row was rejected.")
@click.pass_context
def produce(context: click.Context, /, mapping: tuple[tuple[str, str], ...], **options: object) -> None:
    """Put transactions on the input topic.

    FILE is CSV or JSON lines, also gzipped; - is standard input. Columns are found by their names, others are
    left out. A row that the worker would refuse is not sent: it is counted, and listed at the end.
    """
    given = Options(mapping=dict(mapping), **options)  # type: ignore[arg-type]  # click has checked them
    _check(given)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters comes as an error of ours
    try:
        settings = Settings.load()
        with _origin(given, settings) as origin:
            code = asyncio.run(_produce(origin, given, settings))
    except InputError as error:
        raise click.ClickException(f"{given.file}: {error}") from error
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    context.exit(code)


def _check(given: Options) -> None:
    if (given.file is None) == (given.generate is None):
        raise click.UsageError("Give either FILE or --generate.")
    if given.endless and given.rate is None:
        raise click.UsageError("--generate without a number needs --rate or --limit.")
    changing = (given.mapping, given.currency, given.status, given.assume_utc)
    if given.raw and (given.file is None or any(changing)):
        raise click.UsageError("--raw sends the lines of FILE as they are: no option can change them.")


@contextmanager
def _origin(given: Options, settings: Settings) -> Iterator[Origin]:
    if given.file is None:
        yield Origin(source=_traffic(given), waits=False, read=lambda: None)
        return
    with open_input(given.file) as opened:
        size = opened.size
        yield Origin(
            source=_rows(given, settings, opened.lines()),
            waits=opened.waits,
            read=lambda: opened.position() / size if size else None,
        )


def _traffic(given: Options) -> Source:
    seed = random.randrange(1 << 32) if given.seed is None else given.seed  # noqa: S311  (no secret)
    count = given.wanted
    live = given.rate is not None or count is None
    dates = live_dates(count) if live or count is None else past_dates(count, _PAST)
    return Traffic(given.users, seed).records(dates)


def _rows(given: Options, settings: Settings, lines: Iterator[bytes]) -> Source:
    if given.raw:
        return read_untouched(lines)
    defaults = {"currency": given.currency, "status": given.status}
    reader = Reader(
        columns=Columns(given.mapping),
        defaults={name: value for name, value in defaults.items() if value is not None},
        assume_utc=given.assume_utc,
        decoder=Decoder(max_bytes=settings.max_message_bytes),
    )
    return reader.read(lines)


async def _produce(origin: Origin, given: Options, settings: Settings) -> int:
    stop = asyncio.Event()
    tally = Tally()
    asyncio.get_running_loop().set_exception_handler(_pass_connections_over)
    try:
        async with open_sender(settings.kafka, settings.topic) as sender:
            _stop_on_signals(stop)
            await _send_all(origin, given, sender, tally, stop)
    except DeliveryError as error:
        raise click.ClickException(f"Kafka at {settings.kafka} (KAFKA_BOOTSTRAP_SERVERS): {error}") from error
    return _exit_code(tally, given, interrupted=stop.is_set())


async def _send_all(
    origin: Origin, given: Options, sender: Sender, tally: Tally, stop: asyncio.Event
) -> None:
    feed: Feed = WaitingFeed(origin.source) if origin.waits else DirectFeed(origin.source)
    started = time.monotonic()
    try:
        with shown(tally, lambda: _done(origin, given, tally), Console(stderr=True)) as watch:
            await run(
                feed, sender, tally=tally, pace=Pace(given.rate), stop=stop, limit=given.wanted, watch=watch
            )
    finally:
        # Also after a failure: what was delivered until then is on the topic.
        click.echo(tally.report(sender.delivered, sender.topic, time.monotonic() - started))


def _done(origin: Origin, given: Options, tally: Tally) -> float | None:
    by_number = tally.taken / given.wanted if given.wanted else None
    parts = [part for part in (origin.read(), by_number) if part is not None]
    return max(parts, default=None)


def _pass_connections_over(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What broke a connection is said once, by the delivery that failed; aiokafka leaves futures with it."""
    if not isinstance(context.get("exception"), ConnectionError):
        loop.default_exception_handler(context)


def _stop_on_signals(stop: asyncio.Event) -> None:
    """The first Ctrl-C ends it in order; after that, the next one ends it at once."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def ordered() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, ordered)


def _exit_code(tally: Tally, given: Options, *, interrupted: bool) -> int:
    if interrupted:
        return 0 if given.endless else _INTERRUPTED
    rejected = tally.rejected.total() > 0
    # Nothing but rejected rows means that the file was misread, not that it had some bad rows.
    return int(rejected and (given.strict or tally.taken == 0))
