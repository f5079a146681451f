"""`txnwatch mirror rebuild` while a worker runs."""

from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from schemas.money import amount_text
from tests.support.installation import Installation, until
from tests.support.oracle import replay
from tests.support.traffic import traffic


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


async def rebuild(installation: Installation) -> tuple[int, str]:
    return await installation.completed("txnwatch", "mirror", "rebuild")


async def test_every_window_is_there_again_and_none_goes_back(installation: Installation) -> None:
    transactions = traffic(2000, users=40)
    expected = {
        user: [amount_text(amount) for amount in reversed(window)]
        for user, window in replay(transactions).windows.items()
    }
    newer, another, *_ = expected
    gone = str(UUID(int=0))

    async def mirrored() -> bool:
        return await installation.mirrored() == expected

    with installation.worker():
        await installation.send_transactions(transactions)
        await until(installation.finished)
        await until(mirrored, within=15)
        async with Redis.from_url(installation.environment["REDIS_URL"]) as redis:
            guard: Any = await redis.hgetall(f"user:{newer}:window")
            await redis.flushdb()
            await redis.hset(f"user:{newer}:window", mapping=guard | {b"last_offset": "99999999"})
            for user in (gone, another):
                await redis.hset(f"user:{user}:window", mapping={"last_offset": "99999999", "log": "gone/0"})

        code, said = await rebuild(installation)
        assert (code, said.split(" are ")[0]) == (0, "40 windows")
        assert said.endswith("2 were of another log: 1 overwritten, 1 removed\n")

        async with Redis.from_url(installation.environment["REDIS_URL"]) as redis:
            assert await redis.exists(f"user:{newer}:txn_amounts") == 0
            await redis.delete(f"user:{newer}:window")
        assert await installation.mirrored() == {u: a for u, a in expected.items() if u != newer}


@pytest.mark.parametrize(
    ("variable", "address", "said"),
    [
        ("REDIS_URL", "redis://127.0.0.1:1/0", "Redis (REDIS_URL)"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1", "Kafka (KAFKA_BOOTSTRAP_SERVERS)"),
    ],
)
async def test_what_does_not_answer_is_said_in_a_line(
    installation: Installation, variable: str, address: str, said: str
) -> None:
    installation.environment[variable] = address

    code, output = await rebuild(installation)

    assert code == 1
    assert said in output
    assert "Traceback" not in output
