"""`txnwatch dlq`: refused messages counted, looked at, and sent again once they are mended."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
from aiokafka import AIOKafkaProducer

from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.kafka import client_options, read_committed
from infra.runtime.services import KAFKA
from schemas.dead_letter import DeadLetter, Place
from schemas.transaction import Decoder
from stream_app.commands.redrive import NotSentError, check, mended
from stream_app.settings import Settings


def _place(text: str) -> Place:
    """`partition:offset` in the topic of dead letters, as `list` and `show` print it."""
    try:
        return Place.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


T = TypeVar("T")


class Selection:
    """Which letters are meant: those of the reasons and at the places given, all where none are."""

    def __init__(self, places: Collection[Place], reasons: Collection[str]) -> None:
        self.places = set(places)
        self.reasons = set(reasons)

    def has(self, letter: DeadLetter) -> bool:
        """Whether the letter is meant."""
        named = not self.places or letter.place in self.places
        return named and (not self.reasons or letter.reason in self.reasons)

    @asynccontextmanager
    async def letters(self, settings: Settings) -> AsyncIterator[AsyncIterator[DeadLetter]]:
        """Those of the topic that are meant, to be read while the block runs."""
        async with aclosing(read_committed(settings, settings.dlq_topic)) as fetches:
            yield (
                letter
                async for records in fetches
                for letter in map(DeadLetter.of, records)
                if self.has(letter)
            )


REASON = click.option("--reason", "reasons", multiple=True, help="Only those refused for this reason.")
PLACES = click.argument("places", nargs=-1, type=_place, metavar="[PARTITION:OFFSET]...")


@click.group()
def dlq() -> None:
    """Look at refused messages, and send mended ones again."""


@dlq.command("list")
@REASON
def list_command(reasons: tuple[str, ...]) -> None:
    """Count refused messages by reason, with the place of the newest of each."""
    _run(_list(Selection((), reasons)))


@dlq.command()
@PLACES
@REASON
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@click.option("--raw", is_flag=True, help="Only the value, byte for byte, of one message.")
def show(places: tuple[Place, ...], reasons: tuple[str, ...], limit: int, *, raw: bool) -> None:
    """Show refused messages: the bytes, the reason, and where they came from."""
    if raw and len(places) != 1:
        raise click.UsageError("--raw is for one message: name its PARTITION:OFFSET")
    _run(_show(Selection(places, reasons), limit, raw=raw))


@dlq.command()
@PLACES
@REASON
@click.option("--all", "everything", is_flag=True, help="Every message of the topic.")
@click.option("--rekey", is_flag=True, help="Set the key to the message's user_id, which it has to be.")
@click.option(
    "--value",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the mended value, for one message; implies --rekey.",
)
@click.option("--unchecked", is_flag=True, help="Also those that would be refused again.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
def redrive(
    places: tuple[Place, ...],
    reasons: tuple[str, ...],
    value: Path | None,
    *,
    everything: bool,
    rekey: bool,
    unchecked: bool,
    dry_run: bool,
) -> None:
    """Send refused messages to the input topic again, those that would be accepted now.

    Exit code 1 when any was not sent. Sent twice, a message is stored once.
    """
    if not (places or reasons or everything):
        raise click.UsageError("say which: PARTITION:OFFSET, --reason or --all")
    if value is not None and len(places) != 1:
        raise click.UsageError("--value is for one message: name its PARTITION:OFFSET")
    mend = partial(
        mended,
        value=None if value is None else value.read_bytes().rstrip(b"\r\n"),
        rekey=rekey or value is not None,
    )
    if not _run(_redrive(Selection(places, reasons), mend, unchecked=unchecked, dry_run=dry_run)):
        raise SystemExit(1)


async def _list(selection: Selection) -> None:
    settings = Settings.load()
    counts: Counter[str] = Counter()
    newest: dict[str, DeadLetter] = {}
    async with selection.letters(settings) as letters:
        async for letter in letters:
            counts[letter.reason] += 1
            last = newest.get(letter.reason, letter)
            newest[letter.reason] = max(last, letter, key=lambda one: one.refused_ms)
    for reason, count in counts.most_common():
        last = newest[reason]
        click.echo(f"{reason:10} {count:9}  newest {last.refused_at:%Y-%m-%d %H:%M:%S} UTC at {last.place}")
    click.echo(f"{'total':10} {counts.total():9}  in {settings.dlq_topic}")


async def _show(selection: Selection, limit: int, *, raw: bool) -> None:
    shown = 0
    async with selection.letters(Settings.load()) as letters:
        async for letter in letters:
            if raw:
                sys.stdout.buffer.write(letter.value)
                return
            _print(letter)
            shown += 1
            if shown == limit:
                break
    if selection.places and shown < min(limit, len(selection.places)):
        raise click.ClickException("not all of these places hold a message that is meant")


def _print(letter: DeadLetter) -> None:
    click.echo(f"{letter.place}  {letter.reason}: {letter.detail}")
    refused_at = f"{letter.refused_at:%Y-%m-%d %H:%M:%S} UTC"
    click.echo(f"  from   {letter.source_topic} {letter.source or ''}, refused {refused_at}")
    click.echo(f"  key    {_readable(letter.key)}")
    cut = "" if letter.cut_from is None else f", the start of {letter.cut_from} bytes"
    click.echo(f"  value  {_readable(letter.value)} ({len(letter.value)} bytes{cut})")


def _readable(data: bytes | None) -> str:
    """Bytes as Python writes them, without the b and the quotes: every byte can be told from it."""
    return "none" if data is None else repr(data)[2:-1]


async def _redrive(
    selection: Selection, mend: Callable[[DeadLetter], DeadLetter], *, unchecked: bool, dry_run: bool
) -> bool:
    """Nothing is taken out of the topic: a message that is sent again twice is stored once."""
    settings = Settings.load()
    decoder = Decoder(settings.max_message_bytes, timedelta(hours=settings.max_ahead_hours))
    outcomes = Counter[bool]()
    async with _producer(settings) as producer, selection.letters(settings) as letters:
        async for letter in letters:
            try:
                again = mend(letter)
                check(again, None if unchecked else decoder)
            except NotSentError as error:
                click.echo(f"{letter.place}  not sent, {error}", err=True)
                outcomes[False] += 1
                continue
            if not dry_run:
                headers = [("redriven-from", str(letter.place).encode())]
                await producer.send_and_wait(
                    settings.transactions_topic, again.value, key=again.key, headers=headers
                )
            outcomes[True] += 1
    done = "would be sent" if dry_run else "sent"
    click.echo(f"{outcomes[True]} {done} to {settings.transactions_topic}, {outcomes[False]} not")
    return not outcomes[False] and outcomes[True] >= len(selection.places)


def _producer(settings: Settings) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        **client_options(settings, "redrive"),
        enable_idempotence=True,
        acks="all",
        max_request_size=1 << 20,
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; an error of Kafka's ends it with one line."""
    with ending_in_one_line(KAFKA):
        return asyncio.run(work)
