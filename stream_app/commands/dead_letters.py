"""`txnwatch dlq`: refused messages counted, looked at, and sent again once they are mended."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click
import msgspec
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from infra.ingest.remapping import Remapping
from infra.noting import note_here
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.external_sort import ExternalSort
from infra.runtime.kafka import client_options, read_committed
from infra.runtime.partitioners import Partitioner, producers_partitioner
from infra.runtime.services import KAFKA, POSTGRES
from infra.runtime.this_user import this_user
from schemas.dead_letter import DeadLetter, Place, utc
from schemas.mapping import MappingError, Unmapped
from schemas.refusal import Refused
from schemas.transaction import Decoder
from stream_app.settings import Settings


class NotSentError(Exception):
    """The message would be refused again; the text says why."""


def _place(text: str) -> Place:
    """`partition:offset` in the topic of dead letters, as `list` and `show` print it."""
    try:
        return Place.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_REASON = click.option("--reason", "reasons", multiple=True, help="Only those refused for this reason.")
_PLACES = click.argument("places", nargs=-1, type=_place, metavar="[PARTITION:OFFSET]...")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def dlq() -> None:
    """Look at refused messages, and send mended ones again."""


@dlq.command("list")
@_REASON
def list_command(reasons: tuple[str, ...]) -> None:
    """Count refused messages by reason, with the place of the newest of each."""
    with ending_in_one_line(KAFKA):
        asyncio.run(_list(reasons))


@dlq.command()
@_PLACES
@_REASON
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@click.option("--raw", is_flag=True, help="Only the value, byte for byte, of one message.")
def show(places: tuple[Place, ...], reasons: tuple[str, ...], limit: int, *, raw: bool) -> None:
    """Show refused messages: the bytes, the reason, and where they came from."""
    if raw and len(places) != 1:
        raise click.UsageError("--raw is for one message: name its PARTITION:OFFSET")
    with ending_in_one_line(KAFKA):
        asyncio.run(_show(set(places), reasons, limit, raw=raw))


@dlq.command()
@_PLACES
@_REASON
@click.option("--all", "everything", is_flag=True, help="Every message of the topic.")
@click.option("--rekey", is_flag=True, help="Set the key to the message's user_id, which it has to be.")
@click.option("--value", type=_FILE, help="A file with the mended value, for one message; implies --rekey.")
@click.option("--mapping", help="How messages of foreign topics become transactions now.")
@click.option("--unchecked", is_flag=True, help="Also those that would be refused again.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
def redrive(
    places: tuple[Place, ...],
    reasons: tuple[str, ...],
    value: Path | None,
    mapping: str | None,
    *,
    everything: bool,
    rekey: bool,
    unchecked: bool,
    dry_run: bool,
) -> None:
    """Send refused messages to the input topic again, those that would be accepted now.

    Those that `txnwatch ingest` could not map are mapped again, by --mapping.

    Exit code 1 when any was not sent. Sent twice, a message is stored once.
    """
    if not (places or reasons or everything):
        raise click.UsageError("say which: PARTITION:OFFSET, --reason or --all")
    if value is not None and len(places) != 1:
        raise click.UsageError("--value is for one message: name its PARTITION:OFFSET")
    settings = Settings.load()
    decoder = Decoder(settings.max_message_bytes, timedelta(hours=settings.max_ahead_hours))
    with ending_in_one_line(KAFKA, StopError, MappingError, POSTGRES):
        mending = Mending(
            None if value is None else value.read_bytes().rstrip(b"\r\n"),
            rekey=rekey or value is not None,
            decoder=None if unchecked else decoder,
            remapping=None if mapping is None else Remapping(mapping, decoder),
        )
        all_sent = asyncio.run(_redrive(settings, set(places), reasons, mending, dry_run=dry_run))
    if not all_sent:
        raise SystemExit(1)


@dataclass(frozen=True, slots=True)
class Mending:
    """What is mended in a refused message, and whether it is sent only if it would be accepted now."""

    value: bytes | None
    rekey: bool
    decoder: Decoder | None
    remapping: Remapping | None = None
    """For messages of foreign topics."""

    async def apply(self, letter: DeadLetter) -> DeadLetter:
        """The letter as it would be sent.

        Raises:
            NotSentError: It is not here whole, has no `user_id` to be its key, or would be refused.
        """
        if self.value is not None:
            letter = replace(letter, value=self.value, cut_from=None)
        elif letter.mapping and self.remapping is None:
            raise NotSentError(f"of {letter.source_topic}: say with --mapping how it is mapped now")
        if letter.cut_from is not None:
            whole = f"{letter.source_topic} {letter.source}"
            raise NotSentError(f"only the start of its {letter.cut_from} bytes was kept: see {whole}")
        try:
            return await self._accepted(letter)
        except (Refused, Unmapped) as refused:
            raise NotSentError(f"still refused: {refused}") from None

    async def _accepted(self, letter: DeadLetter) -> DeadLetter:
        if letter.mapping and self.remapping is not None:
            mapped = await self.remapping.mapped(letter)
            return replace(letter, key=mapped.key, value=mapped.value)
        if self.rekey:
            letter = replace(letter, key=_user_of(letter.value))
        if self.decoder is not None:
            self.decoder.decode(letter.value, letter.key, int(time.time() * 1000))
        return letter


def _user_of(value: bytes) -> bytes:
    try:
        return str(msgspec.json.decode(value)["user_id"]).lower().encode()
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise NotSentError("its user_id cannot be told") from None


async def _letters(
    settings: Settings, places: Collection[Place], reasons: Collection[str]
) -> AsyncGenerator[DeadLetter, None]:
    """The topic's letters at these places and of these reasons; where none are named, all."""
    async with aclosing(read_committed(settings, settings.dlq_topic)) as fetches:
        async for records in fetches:
            for letter in map(DeadLetter.of, records):
                if (not places or letter.place in places) and (not reasons or letter.reason in reasons):
                    yield letter


async def _list(reasons: Collection[str]) -> None:
    settings = Settings.load()
    counts: Counter[str] = Counter()
    newest: dict[str, DeadLetter] = {}
    async with aclosing(_letters(settings, (), reasons)) as letters:
        async for letter in letters:
            counts[letter.reason] += 1
            last = newest.get(letter.reason, letter)
            newest[letter.reason] = max(last, letter, key=lambda one: one.refused_ms)
    for reason, count in counts.most_common():
        last = newest[reason]
        click.echo(f"{reason:10} {count:9}  newest {last.refused_at:%Y-%m-%d %H:%M:%S} UTC at {last.place}")
    click.echo(f"{'total':10} {counts.total():9}  in {settings.dlq_topic}")


async def _show(places: set[Place], reasons: Collection[str], limit: int, *, raw: bool) -> None:
    shown = 0
    async with aclosing(_letters(Settings.load(), places, reasons)) as letters:
        async for letter in letters:
            if raw:
                sys.stdout.buffer.write(letter.value)
                return
            _print(letter)
            shown += 1
            if shown == limit:
                break
    if shown < min(limit, len(places)):
        raise click.ClickException("not all of these places hold a message that is meant")


def _print(letter: DeadLetter) -> None:
    click.echo(f"{letter.place}  {letter.reason}: {letter.detail}")
    refused_at = f"{letter.refused_at:%Y-%m-%d %H:%M:%S} UTC"
    stamped = "" if letter.source_ms is None else f", stamped {utc(letter.source_ms):%Y-%m-%d %H:%M:%S} UTC"
    click.echo(f"  from   {letter.source_topic} {letter.source or ''}{stamped}, refused {refused_at}")
    click.echo(f"  key    {_readable(letter.key)}")
    cut = "" if letter.cut_from is None else f", the start of {letter.cut_from} bytes"
    click.echo(f"  value  {_readable(letter.value)} ({len(letter.value)} bytes{cut})")


def _readable(data: bytes | None) -> str:
    """Bytes as Python writes them, without the b and the quotes: every byte can be told from it."""
    return "none" if data is None else repr(data)[2:-1]


class Redriven(msgspec.Struct, frozen=True):
    """A message as it is sent again; `came`, in milliseconds, never falls along a partition."""

    came: int
    place: Place
    partition: int
    key: bytes | None
    value: bytes


class Destination:
    """Where mended messages go: to the partition that the user's other messages are on, in their order."""

    def __init__(self, topic: str, partitioner: Partitioner) -> None:
        self._topic = topic
        self._partitioner = partitioner
        self._came: dict[int, int] = {}

    def of(self, letter: DeadLetter, mended: DeadLetter) -> Redriven:
        """A letter as it is to be sent.

        With its key unchanged it goes where its own producer had put it, by whatever partitioner, unless the
        topic has more partitions since.
        """
        source, now = letter.source or letter.place, self._partitioner.partitions
        at = letter.refused_ms if letter.source_ms is None else letter.source_ms
        came = self._came[source.partition] = max(at, self._came.get(source.partition, 0))
        at_home = mended.key == letter.key and letter.source_topic == self._topic
        if at_home and source.partition < now and letter.source_partitions in {None, now}:
            partition = source.partition
        else:
            partition = self._partitioner.of(mended.key)
        return Redriven(came, letter.place, partition, mended.key, mended.value)


async def _redrive(
    settings: Settings, places: set[Place], reasons: Collection[str], mending: Mending, *, dry_run: bool
) -> bool:
    """Nothing is taken out of the topic: a message that is sent again twice is stored once."""
    topic, outcomes = settings.transactions_topic, Counter[bool]()
    producer = AIOKafkaProducer(
        **client_options(settings, "redrive"), enable_idempotence=True, max_request_size=1 << 20
    )
    letters_of = _letters(settings, places, reasons)
    async with mending.remapping or nullcontext(), _started(producer), aclosing(letters_of) as letters:
        destination = Destination(topic, await producers_partitioner(settings, producer, topic))
        with ExternalSort(Redriven, lambda message: message.came) as messages:
            async for letter in letters:
                try:
                    messages.add(destination.of(letter, await mending.apply(letter)))
                    outcomes[True] += 1
                except NotSentError as error:
                    click.echo(f"{letter.place}  not sent, {error}", err=True)
                    outcomes[False] += 1
            by = "" if dry_run else this_user()
            for message in () if dry_run else messages:
                await _send(producer, topic, message, by)
    click.echo(f"{outcomes[True]} {'would be sent' if dry_run else 'sent'} to {topic}, {outcomes[False]} not")
    if outcomes[True] and not dry_run and settings.has_sink("postgres"):
        await note_here(settings, "dead letters sent again", f"{outcomes[True]} of {settings.dlq_topic}")
    return not outcomes[False] and outcomes[True] >= len(places)


@asynccontextmanager
async def _started(producer: AIOKafkaProducer) -> AsyncIterator[None]:
    """Stop it also where it did not start: else it complains in lines of its own."""
    try:
        await producer.start()
        yield
    finally:
        await producer.stop()


async def _send(producer: AIOKafkaProducer, topic: str, message: Redriven, by: str) -> None:
    headers = [("redriven-from", str(message.place).encode()), ("redriven-by", by.encode())]
    await producer.send_and_wait(topic, message.value, message.key, message.partition, headers=headers)
