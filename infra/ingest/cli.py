"""`txnwatch ingest`: from any topics to the input topic, exactly once."""

import asyncio
import logging
import signal
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import click
import uvloop
from aiokafka import AIOKafkaProducer

from infra.ingest.converting import Converter
from infra.ingest.decoding import Decoding
from infra.ingest.metrics import IngestCounts
from infra.ingest.ordering import Arrived, Merged, Order, SpreadUsers
from infra.ingest.probes import seen
from infra.ingest.registry import Registry
from infra.ingest.running import Ingest
from infra.ingest.settings import Settings
from infra.ingest.source import pin_offsets
from infra.runtime.background import cancel
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.garbage import collect_seldom
from infra.runtime.kafka import check_topics, client_options
from infra.runtime.logs import log_start, silenced, start_logging
from infra.runtime.mapping_files import read_mapping
from infra.runtime.partitioners import producers_partitioner
from infra.runtime.services import KAFKA
from schemas.mapping import Mapper, MappingError, MappingSpec
from schemas.transaction import Decoder

_YOUNG_OBJECTS = 200_000
"""A transaction's records are tens of thousands of objects without cycles."""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """The command line."""

    topics: tuple[str, ...]
    from_beginning: bool
    order: Literal["partition", "timestamps"]
    wait: float


@click.command()
@click.option(
    "--mapping", required=True, help="A mapping's file, or the name of a ready-made one (docs/data.md)."
)
@click.option(
    "--topic", "topics", multiple=True, required=True, help="A topic to read; may be given several times."
)
@click.option(
    "--from-beginning",
    is_flag=True,
    help="At its first start, read what the topics have already; by default only what arrives from then on.",
)
@click.option(
    "--order",
    type=click.Choice(["partition", "timestamps"]),
    default="partition",
    show_default=True,
    help="Whether each user's messages are on one partition; else all are merged by their timestamps.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=1.0,
    show_default=True,
    help="Of --order timestamps: how long after its timestamp a record may arrive, in seconds.",
)
@click.option("--loglevel", "log_level", help="DEBUG, INFO, WARNING or ERROR, over TXNWATCH_LOG_LEVEL.")
def ingest(mapping: str, log_level: str | None, **given: Any) -> None:
    """Put the records of foreign topics on the input topic until stopped, each exactly once.

    Several share the partitions, but for --order timestamps, of which one works and the others stand by. What
    the mapping does not fit goes to the dead letters (txnwatch dlq).
    """
    settings, options = Settings.load(log_level=log_level), IngestOptions(**given)
    if own := {*options.topics} & {*settings.topics}:
        raise click.UsageError(f"--topic {min(own)}: what txnwatch writes would be read again and again.")
    start_logging(settings)
    log_start("ingest", settings, mapping=mapping, topics=", ".join(options.topics))
    with ending_in_one_line(KAFKA, StopError, MappingError):
        uvloop.run(_ingest(settings, read_mapping(mapping), Path(mapping).name, options))


async def _ingest(settings: Settings, spec: MappingSpec, name: str, options: IngestOptions) -> None:
    stop, counts = _stopped_by_signals(), IngestCounts()
    topics = list(dict.fromkeys(options.topics))
    async with Registry(settings.schema_registry_url, settings.schema_registry_token) as registry:
        with silenced("aiokafka"):
            converter = await _converter(settings, spec, name, Decoding(spec, registry))
            await pin_offsets(settings, topics, from_beginning=options.from_beginning)
        order: Order = Merged(options.wait)
        if options.order == "partition":
            converter, order = replace(converter, spread=SpreadUsers()), Arrived()
        running = Ingest(settings, topics, converter, order, counts=counts)
        wait = options.wait if options.order == "timestamps" else 0
        async with seen(settings, running, counts, registry, wait):
            collect_seldom(_YOUNG_OBJECTS)
            await _until_stopped(running, stop, settings.stop_seconds)


async def _until_stopped(running: Ingest, stop: asyncio.Event, seconds: float) -> None:
    """Let it run; once told to stop it has so many seconds to finish what is in flight."""
    run, stopped = asyncio.create_task(running.run(stop)), asyncio.create_task(stop.wait())
    await asyncio.wait([run, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not (await asyncio.wait([run], timeout=seconds))[0]:
        await cancel(run)
        raise StopError(f"what was in flight is not finished after {seconds:g} s (TXNWATCH_STOP_SECONDS)")
    run.result()


async def _converter(settings: Settings, spec: MappingSpec, name: str, decoding: Decoding) -> Converter:
    cluster = await check_topics(settings, [settings.transactions_topic, settings.dlq_topic])
    async with AIOKafkaProducer(**client_options(settings, "ingest-keys")) as producer:
        partitioner = await producers_partitioner(settings, producer, settings.transactions_topic)
    ahead = timedelta(hours=settings.max_ahead_hours)
    mapper = Mapper(spec, Decoder(settings.max_message_bytes, ahead))
    letters = len(cluster.topics[settings.dlq_topic])
    return Converter(decoding, mapper, partitioner, letters, name)


def _stopped_by_signals() -> asyncio.Event:
    """An event that the first SIGTERM or Ctrl-C sets; the next one ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def ordered() -> None:
        logging.getLogger(__name__).info("stopping")
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ordered)
    return stop
