"""No log has a user's id or an amount, at DEBUG too, whatever comes in, is asked for or fails."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from tests.support.foreign_topics import MAPPING, foreign, foreign_topic
from tests.support.installation import Installation, ended, until
from tests.support.traffic import Sent, traffic

LOUD = {"TXNWATCH_LOG_LEVEL": "DEBUG", "TXNWATCH_API_LOG_REQUESTS": "true", "TXNWATCH_INGEST_PORT": "0"}


def marked(sent: list[Sent]) -> list[Sent]:
    """The transactions with amounts that nothing else looks like."""
    return [
        replace(one, amount=f"{700_000 + 131 * number}.{number % 90 + 10}") for number, one in enumerate(sent)
    ]


def refused(sent: Sent) -> Iterator[tuple[bytes, bytes]]:
    """The transaction as it is refused, in several ways, its user and amount in each."""
    yield b"other key", sent.value
    yield sent.key, sent.value[:-1]
    yield sent.key, sent.value.replace(b'"INR"', b'"I"')
    yield sent.key, sent.value.replace(b"2024-", b"2924-")
    yield sent.key, sent.value.replace(sent.amount.encode(), sent.amount.encode() + b"5")


@contextmanager
def running(
    installation: Installation, folder: Path, *commands: list[str]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Programs while the block runs, each with a log named after it."""
    with ExitStack() as stack:
        logs = [stack.enter_context((folder / f"{one[0]}.log").open("wb")) for one in commands]
        yield [
            stack.enter_context(installation.command("txnwatch", *one, output=log.fileno()))
            for one, log in zip(commands, logs, strict=True)
        ]


async def ask(port: str, one: Sent) -> list[int]:
    """Ask the API for a user's, well and badly; the statuses."""
    user, amount = one.user_id, one.amount
    statuses = []
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        for path in (
            f"/users/{user}/stats",
            f"/transactions?user_id={user}&min_amount={amount}&from_date=2024-01-01T00:00:00Z",
            f"/transactions?user_id={user}&min_amount={amount}7",
            f"/transactions?{user}={amount}",
            f"/transactions/{one.id}?user_id={user}0",
            f"/nothing/{user}/{amount}",
        ):
            async with session.get(path) as response:
                statuses.append(response.status)
        for body in (one.value, *(bad for _, bad in refused(one))):
            headers = {"Content-Type": "application/json"}
            async with session.post("/transactions", data=body, headers=headers) as response:
                statuses.append(response.status)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write(f"GET /users/{user} {amount}\r\n\r\n".encode())
    await reader.read()
    writer.close()
    return statuses


@pytest.mark.slow
async def test_no_program_logs_whose_transactions_it_sees_nor_of_how_much(
    environment: dict[str, str], redis_url: str, tmp_path: Path
) -> None:
    sent, foreigners = marked(traffic(300, users=7)), marked(traffic(100, users=3, seed=2))
    installation, last = Installation({**environment, **LOUD}), replace(sent[0], status="declined")
    (tmp_path / "shop.toml").write_text(MAPPING)
    async with Redis.from_url(redis_url) as redis, foreign_topic(installation) as topic:
        await redis.set(f"user:{last.user_id}:window", "no hash")
        ingest = ["ingest", "--mapping", str(tmp_path / "shop.toml"), "--topic", topic, "--from-beginning"]
        with running(installation, tmp_path, ["worker"], ["api"], ingest) as programs:
            async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
                for partition in range(4):  # all but one of them elsewhere than by its key
                    await producer.send(
                        installation.transactions, last.value, key=last.key, partition=partition
                    )
                for one in foreigners:  # a user on several partitions
                    await producer.send(topic, foreign(one))
                await producer.send(topic, foreign(last).replace(b'"INR"', b'"I"'))
            await installation.send_transactions(sent)
            await installation.send(refused(last))
            await until(partial(processed, installation, 400))
            assert {200, 404, 422, 202} <= {*await ask(environment["TXNWATCH_API_PORT"], last)}

            async with installation.postgres() as connection:
                await connection.execute("ALTER TABLE transactions ADD CHECK (amount < 1) NOT VALID")
                await installation.send_transactions([replace(last, amount="712345.67")])
                assert await asyncio.to_thread(programs[0].wait, 60) == 1
                await connection.execute("ALTER TABLE transactions RENAME status TO state")
            assert 500 in await ask(environment["TXNWATCH_API_PORT"], last)
            for program in programs[1:]:
                await ended(program)

    everybody = *sent, *foreigners, replace(last, amount="712345.67")
    secret = {text for one in everybody for text in (one.user_id, one.amount, str(one.hundredths))}
    found = re.compile("|".join(map(re.escape, secret)))
    logs = {one: (tmp_path / f"{one}.log").read_text() for one in ("worker", "api", "ingest")}
    lines = [(name, line) for name, log in logs.items() for line in log.splitlines()]
    assert [line for line in lines if found.search(line[1])] == []
    assert "a window of partition" in logs["worker"]
    assert "(TXNWATCH_PARTITIONER)" in logs["worker"]
    assert "CheckViolation" in logs["worker"]
    assert "--order timestamps" in logs["ingest"]
    assert " /transactions failed" in logs["api"]
    assert "GET /users/{user_id}/stats: 503 after" in logs["api"]
    assert all("settings: KAFKA_BOOTSTRAP_SERVERS=" in log for log in logs.values())


async def processed(installation: Installation, count: int) -> bool:
    """Whether ingest has put its records there, and all are scored."""
    return await installation.produced() >= count and await installation.finished()
