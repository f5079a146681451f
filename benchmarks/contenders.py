"""Who runs: txnwatch's worker and its peers, each started as its operator would."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from benchmarks.bed import Bed, free_port
from benchmarks.environments import ROOT, UnavailableError, peer_python, streams_command
from benchmarks.load import Load
from benchmarks.process import Command, running, tail
from benchmarks.race import Lap, output_of, timed

TXNWATCH = Path(sys.executable).with_name("txnwatch")
# How often a peer makes its progress and its state durable. txnwatch does so with every batch.
COMMIT_MS = 1000
STATE_ONLY = {"TXNWATCH_SINKS": "", "TXNWATCH_SCORED_TOPIC": ""}


@dataclass(frozen=True, slots=True)
class Txnwatch:
    """Our workers; `settings` go over those of a whole installation."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    at_most: int | None = None
    same_rule: bool = True
    """Whether they flag what all others do, which is then seen to."""

    async def lap(self, bed: Bed, load: Load, run: str) -> Lap:
        """Topics and a database as the commands make them, and the workers on them."""
        environment = await prepare(bed, load.topic, run) | dict(self.settings)
        url = None if self.settings.get("TXNWATCH_SINKS") == "" else environment["POSTGRES_URL"]
        commands = [worker(bed, run, environment, number) for number in range(self.workers)]
        with running(*commands) as process:
            marked = load if self.same_rule else replace(load, flags=0)
            return await timed(bed, marked, run, process, rows=url)


async def prepare(bed: Bed, topic: str, run: str) -> dict[str, str]:
    """All that a whole installation needs beside its input and anomalies topics; its settings."""
    await bed.create_topics(f"{run}.scored", f"{run}.dlq", f"{run}.control")
    await bed.create_topics(f"{run}-windows-changelog", **{"cleanup.policy": "compact"})
    return {
        **bed.addresses.as_env(),
        "POSTGRES_URL": await bed.database(run),
        "TXNWATCH_APP_ID": run,
        "TXNWATCH_TRANSACTIONS_TOPIC": topic,
        "TXNWATCH_SCORED_TOPIC": f"{run}.scored",
        "TXNWATCH_ANOMALIES_TOPIC": output_of(run),
        "TXNWATCH_DLQ_TOPIC": f"{run}.dlq",
        "TXNWATCH_CONTROL_TOPIC": f"{run}.control",
    }


def worker(
    bed: Bed, run: str, environment: Mapping[str, str], number: int = 0, level: str = "WARNING"
) -> Command:
    """A worker with a data folder and a port of its own."""
    folder = bed.scratch(run)
    own = {"TXNWATCH_DATADIR": str(folder / f"data{number}"), "TXNWATCH_WEB_PORT": str(free_port())}
    log = folder / f"worker{number}.log"
    return Command([TXNWATCH, "worker", "--loglevel", level], {**environment, **own}, log)


@dataclass(frozen=True, slots=True)
class PythonPeer:
    """A peer of `peers/`, run by the Python of its own environment.

    `{state}` in the arguments stands for a folder of the run's. With `whole` it gets a database and
    Redis too.
    """

    name: str
    environment: str
    arguments: tuple[str, ...]
    before: tuple[str, ...] = ()
    whole: bool = False
    at_most: int | None = None

    async def lap(self, bed: Bed, load: Load, run: str) -> Lap:
        """Start it on an empty state folder."""
        python = peer_python(self.environment)
        state = bed.scratch(run) / "state"
        state.mkdir()
        environment = peer_environment(bed, load.topic, run, state)
        if self.before:
            self._run_before(python, state)
        if self.whole:
            await bed.create_topics(f"{run}.scored")
            environment |= {"PEER_POSTGRES": await bed.database(run), "PEER_REDIS": bed.addresses.redis}
        arguments = _filled(python, self.arguments, state)
        with running(Command(arguments, environment, bed.scratch(run) / "peer.log")) as process:
            return await timed(bed, load, run, process, rows=environment.get("PEER_POSTGRES"))

    def _run_before(self, python: Path, state: Path) -> None:
        try:
            subprocess.run(_filled(python, self.before, state), check=True, capture_output=True)
        except subprocess.CalledProcessError as error:
            raise UnavailableError(error.stderr.decode(errors="replace")) from error


@dataclass(frozen=True, slots=True)
class KafkaStreams:
    """The peer in Java."""

    name: str = "Kafka Streams"
    at_most: int | None = None

    async def lap(self, bed: Bed, load: Load, run: str) -> Lap:
        """Start it on an empty state folder."""
        arguments = streams_command()
        environment = peer_environment(bed, load.topic, run, bed.scratch(run))
        with running(Command(arguments, environment, bed.scratch(run) / "peer.log")) as process:
            return await timed(bed, load, run, process)


@dataclass(frozen=True, slots=True)
class CopyAlone:
    """The limit of `whole`: see `benchmarks.copy_alone`."""

    name: str = "COPY alone"
    at_most: int | None = None

    async def lap(self, bed: Bed, load: Load, run: str) -> Lap:
        """Run it to its end and read what it measured of itself."""
        folder = bed.scratch(run)
        environment = peer_environment(bed, load.topic, run, folder)
        environment["PEER_POSTGRES"] = await bed.database(run)
        command = Command([sys.executable, "-m", "benchmarks.copy_alone"], environment, folder / "copy.log")
        with running(command) as process:
            await process.finish()
        return msgspec.json.decode(tail(command.log, lines=1), type=Lap)


def peer_environment(bed: Bed, topic: str, run: str, state: Path) -> dict[str, str]:
    """What a peer is told."""
    return {
        "PYTHONPATH": str(ROOT),
        "PEER_KAFKA": bed.kafka,
        "PEER_INPUT": topic,
        "PEER_OUTPUT": output_of(run),
        "PEER_SCORED": f"{run}.scored",
        "PEER_RUN": run,
        "PEER_FOLDER": str(state),
        "PEER_COMMIT_MS": str(COMMIT_MS),
        "PEER_WEB_PORT": str(free_port()),
    }


def _filled(python: Path, arguments: tuple[str, ...], state: Path) -> list[str | Path]:
    return [python, *(argument.format(state=state) for argument in arguments)]


FAUST = ("worker", "--loglevel", "warn")
BYTEWAX = ("-m", "bytewax.run", "benchmarks.peers.bytewax_state:flow", "-r", "{state}", "-s", "1", "-b", "0")
