"""An installation under faults: workers with a plan, what they did, and the audit of what came of it."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import DeleteGroupsRequest
from redis.asyncio import Redis

from infra.embedded.cluster import Addresses
from tests.support.faults.audit import audit
from tests.support.faults.bad import Message
from tests.support.faults.oracle import Findings, Judge, Record
from tests.support.faults.plan import Event, Plan
from tests.support.installation import Installation, until
from tests.support.services import free_port, fresh_database, fresh_topics, installation_variables

ROOT = Path(__file__).parents[3]
SESSION_SECONDS = 6
_REDIS_NUMBERS = set(range(8, 16))


class Worker:
    """A worker's process, its data folder and its log."""

    def __init__(self, process: subprocess.Popen[bytes], datadir: Path, log: Path) -> None:
        self.process = process
        self.datadir = datadir
        self.log = log

    async def ended(self, *, within: float = 60) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        try:
            return await asyncio.to_thread(self.process.wait, within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within} s\n{self.tail()}") from None

    async def stop(self, *, within: float = 30) -> int:
        """End it as an operator does."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended(within=within)

    async def kill(self) -> None:
        """End it as a machine's failure does."""
        self.process.kill()
        await self.ended()

    def state(self) -> str:
        """The letter that the kernel shows for it: T is stopped."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        return text.rpartition(")")[2].split()[0]

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-60:])


class Rig(Installation):
    """One installation; `datadirs` are all the data folders that its workers have had."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        super().__init__({**environment, "TXNWATCH_SESSION_SECONDS": str(SESSION_SECONDS)})
        self.folder = folder
        self.events_file = folder / "events.jsonl"
        self.datadirs: list[Path] = []
        self._started = 0

    @contextmanager
    def run(self, plan: Plan | None = None, /, *, datadir: str = "one", **overrides: str) -> Iterator[Worker]:
        """A worker by the plan while the block runs; killed at its end if still there."""
        folder = self.folder / datadir
        if folder not in self.datadirs:
            self.datadirs.append(folder)
        self._started += 1
        log = self.folder / f"worker-{self._started}.log"
        plan = plan or Plan()
        text = Plan(plan.point, plan.nth, plan.signal, plan.off, str(self.events_file)).text()
        settings = {
            "TXNWATCH_DATADIR": str(folder),
            "TXNWATCH_WEB_PORT": str(free_port()),
            "PYTHONPATH": str(ROOT),
        }
        with ExitStack() as stack:
            output = stack.enter_context(log.open("wb"))
            process = stack.enter_context(
                self.command(
                    Path(sys.executable).name,
                    "-m",
                    "tests.support.faults.entry",
                    text,
                    output=output.fileno(),
                    **settings | overrides,
                )
            )
            yield Worker(process, folder, log)

    def events(self, what: str | None = None, pid: int | None = None) -> list[Event]:
        """What the workers noted, in its order."""
        if not self.events_file.exists():
            return []
        lines = self.events_file.read_bytes().splitlines()
        events = [msgspec.json.decode(line, type=Event) for line in lines]
        return [one for one in events if what in {None, one.what} and pid in {None, one.pid}]

    def recoveries(self, *injected: float) -> list[float]:
        """Seconds from each injection (else each signal) to the next committed batch.

        An injection that comes before anything was committed since the former one stands for both.
        """
        commits = [event.at for event in self.events("output committed")]
        times = injected or [event.at for event in self.events("signalled")]
        nexts = {min(at for at in commits if at > time): time for time in sorted(times)}
        return [commit - time for commit, time in nexts.items()]

    async def finish(self, *workers: Worker, within: float = 120) -> None:
        """Wait until the group has committed the whole input topic; a worker that ends meanwhile fails it."""
        deadline = time.monotonic() + within
        while not await self.done():
            for worker in workers:
                code = worker.process.poll()
                assert code is None, f"the worker ended with {code}\n{worker.tail()}"
            assert time.monotonic() < deadline, "\n\n".join(
                [f"not finished: {await self.offsets()}", *(worker.tail() for worker in workers)]
            )
            await asyncio.sleep(0.2)

    async def done(self) -> bool:
        """Whether the group has committed the whole input topic."""
        try:
            return await self.finished()
        except (KafkaError, OSError):
            return False

    async def committed_or_nothing(self) -> int:
        """The sum of the group's committed offsets; 0 while nobody can say."""
        try:
            return await self.committed()
        except (KafkaError, OSError):
            return 0

    async def offsets(self) -> dict[int, int]:
        """The group's committed offsets by partition."""
        async with self.administration() as admin:
            found = await admin.list_consumer_group_offsets(self.environment["TXNWATCH_APP_ID"])
        return {
            tp.partition: offset.offset
            for tp, offset in found.items()
            if tp.topic == self.transactions and offset.offset > 0
        }

    async def send_messages(self, messages: Iterable[Message]) -> None:
        """Put messages on the input topic, each with the reason that it is refused for as a header."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.kafka, linger_ms=5, max_request_size=6 << 20
        ) as producer:
            for key, value, reason in messages:
                headers = [] if reason is None else [("expected", reason.encode())]
                partition = 0 if key is None else None
                await producer.send(self.transactions, value, key=key, partition=partition, headers=headers)

    async def set_group(self, offsets: Mapping[int, int]) -> None:
        """Set the group to these offsets by partition, as an operator's command would."""
        positions = {TopicPartition(self.transactions, number): at for number, at in offsets.items()}
        async with AIOKafkaConsumer(
            bootstrap_servers=self.kafka,
            group_id=self.environment["TXNWATCH_APP_ID"],
            enable_auto_commit=False,
        ) as consumer:
            consumer.assign(list(positions))
            await consumer.commit(positions)

    async def forget_group(self) -> None:
        """Delete the group's offsets, as the broker does when nobody has asked for long."""
        app_id = self.environment["TXNWATCH_APP_ID"]
        async with self.administration() as admin:
            coordinator = await admin.find_coordinator(app_id)
            response = await admin._send_request(DeleteGroupsRequest([app_id]), coordinator)  # noqa: SLF001 - no method does
        assert response.results == [(app_id, 0)], response.results

    async def flush_mirror(self) -> None:
        """Take everything from Redis."""
        async with Redis.from_url(self.environment["REDIS_URL"]) as client:
            await client.flushdb()

    async def audited(
        self, *, mirror: bool = True, log: Sequence[Record] | None = None, judge: Judge | None = None
    ) -> Findings:
        """What is lost, doubled or wrong, once all workers have ended."""
        return await audit(self, await self.offsets(), self.datadirs, mirror=mirror, log=log, judge=judge)

    async def noted(self, what: str, *, count: int = 1, pid: int | None = None, within: float = 60) -> None:
        """Wait until the workers have noted this so often."""

        async def enough() -> bool:
            return len(self.events(what, pid)) >= count

        await until(enough, within=within)

    async def did(self, count: int, *, within: float = 600) -> None:
        """Wait until the workers have noted so much in all."""

        async def enough() -> bool:
            return len(self.events()) >= count

        await until(enough, within=within)


@asynccontextmanager
async def rig(services: Addresses, folder: Path, *, partitions: int = 4) -> AsyncIterator[Rig]:
    """A rig with topics, a database, a Redis database and folders of its own."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a folder is made at once
    number = _REDIS_NUMBERS.pop()
    redis_url = urlsplit(services.redis)._replace(path=f"/{number}").geturl()
    try:
        async with (
            fresh_topics(services.kafka, partitions=partitions) as topics,
            fresh_database(services.postgres) as database,
        ):
            yield Rig(installation_variables(topics, database, redis_url, folder), folder)
    finally:
        with redis.Redis.from_url(redis_url) as client:
            client.flushdb()
        _REDIS_NUMBERS.add(number)
