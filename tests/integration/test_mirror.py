"""The Redis mirror: readable, never set back by an older window, never in the way."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from infra.runtime.redis import MIRROR_FORMAT, Keys
from stream_app.settings import Settings
from stream_app.sinks.redis_mirror import MANY_USERS, MOST_CHANGED, RedisMirror
from stream_app.sinks.redis_windows import CHUNK_USERS, RedisWindows
from stream_app.window import Window, decode_window, encode_window
from tests.support.services import free_port

USER = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        yield redis


def window(offset: int, *amounts: int) -> Window:
    return Window.of(amounts, last_offset=offset, updated_at=1000)


class Mirroring(RedisMirror):
    """A mirror of windows that are kept here."""

    def __init__(self, redis: Redis, prefix: str = "") -> None:
        self.redis = RedisWindows(redis, Settings(app_id="ours", redis_prefix=prefix))
        self.redis.topic_id = "topic-1"
        self.windows: dict[str, Window] = {}
        super().__init__(self.redis, self.load)

    def load(self, _partition: int, users: Iterable[str]) -> dict[str, Window]:
        return {user: decode_window(encode_window(self.windows[user])) for user in users}

    def change(self, windows: Mapping[str, Window], partition: int = 0) -> None:
        """What the pipeline does: keep windows, then have them mirrored."""
        self.windows |= windows
        self.put(partition, windows)


async def test_a_window_is_mirrored_as_a_hash_and_a_list_newest_first(redis: Redis) -> None:
    async with Mirroring(redis).running() as mirror:
        mirror.change({USER: window(7, 100, 250, 10**20 - 1)})
        await mirror.flush()

    assert await redis.hgetall(f"user:{USER}:window") == {
        "count": "3",
        "sum": "1000000000000000003.49",
        "mean": "333333333333333334.50",
        "last_offset": "7",
        "updated_at": "1970-01-01T00:00:01+00:00",
        "log": "topic-1/0",
        "format": str(MIRROR_FORMAT),
    }
    assert await redis.lrange(f"user:{USER}:txn_amounts", 0, -1) == ["999999999999999999.99", "2.50", "1.00"]


async def test_an_older_window_does_not_overwrite_a_newer_one(redis: Redis) -> None:
    async with Mirroring(redis).running() as mirror:
        mirror.change({USER: window(7, 100)})
        await mirror.flush()
        mirror.change({USER: window(6, 1)})
        await mirror.flush()

    assert await redis.hget(f"user:{USER}:window", "last_offset") == "7"
    assert await redis.lrange(f"user:{USER}:txn_amounts", 0, -1) == ["1.00"]


async def test_windows_of_several_small_batches_become_one_write(redis: Redis) -> None:
    changes = {f"{number:036}": window(number, 100) for number in range(100)}
    before = (await redis.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})["calls"]
    async with asyncio.timeout(10), Mirroring(redis).running() as mirror:
        for user, its in changes.items():
            mirror.change({user: its})
            await asyncio.sleep(0)
        await mirror.flush()

    assert await redis.dbsize() >= 2 * len(changes)
    writes = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] - before
    assert writes < len(changes) / 10


async def placed(mirror: Mirroring, partition: int, last: Window) -> None:
    mirror.change({USER: last}, partition)
    await mirror.flush()


async def test_a_window_of_a_topic_that_is_gone_is_overwritten_whatever_its_offset(redis: Redis) -> None:
    async with Mirroring(redis).running() as mirror:
        await placed(mirror, 0, window(999, 100))
        mirror.follow_topic("topic-2")
        await placed(mirror, 0, window(3, 200))
        assert mirror.redis.of_other_logs == 1

    assert await amounts_in(redis) == ["2.00"]
    assert await redis.hmget(f"user:{USER}:window", "last_offset", "log") == ["3", "topic-2/0"]


async def test_of_a_user_who_has_moved_to_another_partition_the_later_window_stays(redis: Redis) -> None:
    """As after partitions were added: the former one's owner goes on mirroring what it has."""
    before = Window.of([100], last_offset=500, updated_at=1_000)
    async with Mirroring(redis).running() as mirror:
        await placed(mirror, 0, before)
        await placed(mirror, 4, Window.of([100, 200], last_offset=3, updated_at=1_001))
        await placed(mirror, 0, before)

    assert await amounts_in(redis) == ["2.00", "1.00"]


@pytest.mark.parametrize("log", [{}, {"log": "topic-1/0"}, {"log": "topic-1/0", "format": "0"}])
async def test_a_window_of_a_former_format_is_written_again(redis: Redis, log: dict[str, str]) -> None:
    former: dict[Any, Any] = {"count": "1", "last_offset": "999", **log}
    await redis.hset(f"user:{USER}:window", mapping=former)
    async with Mirroring(redis).running() as mirror:
        await placed(mirror, 0, window(3, 200))

    assert await amounts_in(redis) == ["2.00"]


@asynccontextmanager
async def following(mirror: RedisMirror, windows: Mapping[str, Window]) -> AsyncIterator[None]:
    task = asyncio.create_task(mirror.follow(0, windows.items))
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def when_there_are(redis: Redis, count: int, offset: int) -> None:
    """Wait until so many windows in Redis have an offset."""
    async with asyncio.timeout(60):
        while True:
            keys = [key async for key in redis.scan_iter("user:*:window", count=10_000)]
            async with redis.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.hget(key, "last_offset")
                found = await pipeline.execute()
            if found.count(str(offset)) == count:
                return


async def test_all_windows_of_a_partition_arrive_when_it_is_taken_over(redis: Redis) -> None:
    windows = {f"{number:032d}": window(1, 5) for number in range(2 * CHUNK_USERS + 1)}
    async with Mirroring(redis).running() as mirror, following(mirror, windows):
        await when_there_are(redis, len(windows), 1)


async def test_windows_that_are_too_many_to_wait_arrive_all_the_same(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.sinks.redis_mirror.MOST_CHANGED", 10)
    users = [f"{number:032d}" for number in range(100)]
    async with Mirroring(redis).running() as mirror, following(mirror, mirror.windows):
        mirror.change({user: window(1, 5) for user in users})
        await when_there_are(redis, 100, 1)
        mirror.change({user: window(2, 6) for user in users[:50]})
        await when_there_are(redis, 50, 2)


async def test_what_is_put_while_redis_is_away_arrives_when_it_comes(redis: Redis) -> None:
    await redis.client_pause(600, all=False)
    async with Mirroring(redis).running() as mirror:
        for offset in range(100):
            mirror.change({USER: window(offset, offset)})
        await mirror.flush()

    assert await redis.hget(f"user:{USER}:window", "last_offset") == "99"


async def test_a_key_that_redis_refuses_is_left_out_and_the_others_are_mirrored(redis: Redis) -> None:
    users = [f"{number:032d}" for number in range(30)]
    await redis.set(f"user:{users[7]}:window", "not a hash")

    async with Mirroring(redis).running() as mirror:
        mirror.change({user: window(1, 5) for user in users})
        await mirror.flush()
        assert mirror.redis.refused == 1

    assert len([key async for key in redis.scan_iter("user:*:txn_amounts")]) == 29


@dataclass(frozen=True)
class Refusal:
    """A way to have Redis take no window, and how that ends."""

    begin: tuple[str, ...]
    end: tuple[str, ...]


REFUSALS = {
    "a failover": Refusal(("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "no memory": Refusal(("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "no replicas": Refusal(
        ("CONFIG", "SET", "min-replicas-to-write", "3"), ("CONFIG", "SET", "min-replicas-to-write", "0")
    ),
    "no permission": Refusal(
        ("ACL", "SETUSER", "default", "-evalsha"), ("ACL", "SETUSER", "default", "+@all")
    ),
    "another app": Refusal(("HSET", Keys().owner, "app_id", "theirs"), ("DEL", Keys().owner)),
    "a newer format": Refusal(("HSET", Keys().owner, "format", "99"), ("DEL", Keys().owner)),
}


async def said(caplog: pytest.LogCaptureFixture, what: str) -> None:
    """Wait until that is in the log."""
    async with asyncio.timeout(10):
        while what not in caplog.text:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_what_redis_does_not_take_for_a_while_waits_and_arrives(
    redis: Redis, caplog: pytest.LogCaptureFixture, refusal: Refusal
) -> None:
    users = [f"{number:032d}" for number in range(30)]
    async with Mirroring(redis).running() as mirror:
        await command(redis, *refusal.begin)
        try:
            mirror.change({user: window(1, 5) for user in users})
            await said(caplog, "trying again")
            assert mirror.waiting == 30
        finally:
            await command(redis, *refusal.end)
        await mirror.flush()
        assert (mirror.waiting, mirror.redis.refused) == (0, 0)

    await when_there_are(redis, 30, 1)


async def command(redis: Redis, *words: str) -> Any:
    return await redis.execute_command(*words)  # type: ignore[no-untyped-call]


async def test_two_installations_share_a_redis_under_prefixes(redis: Redis) -> None:
    async with Mirroring(redis, "eu:").running() as eu, Mirroring(redis, "us:").running() as us:
        eu.change({USER: window(7, 100)})
        us.change({USER: window(5, 200)})
        await eu.flush()
        await us.flush()

    assert await redis.lrange(f"eu:user:{USER}:txn_amounts", 0, -1) == ["1.00"]
    assert await redis.lrange(f"us:user:{USER}:txn_amounts", 0, -1) == ["2.00"]
    assert await redis.hgetall("eu:txnwatch:mirror") == {"app_id": "ours", "format": str(MIRROR_FORMAT)}


async def test_a_redis_that_never_answers_neither_raises_nor_waits_for_long() -> None:
    redis = Redis(port=free_port(), socket_connect_timeout=0.2)
    async with asyncio.timeout(15), redis, Mirroring(redis).running() as mirror:
        mirror.change({USER: window(1, 1)})
        mirror.change({str(number): window(1, 1) for number in range(MOST_CHANGED + 1)})


def scored(former: Window | None, *amounts: int, size: int = 3) -> Window:
    """The window as a batch leaves it: read as it was written, then joined by these amounts."""
    window = Window() if former is None else decode_window(encode_window(former))
    for amount in amounts:
        window.push(amount, bytes(20), size)
        window.last_offset += 1
    return window


async def amounts_in(redis: Redis) -> list[str]:
    return list(map(str, await redis.lrange(f"user:{USER}:txn_amounts", 0, -1)))


@pytest.mark.parametrize(
    "batches", [[[1], [2], [3], [4]], [[1, 2], [3, 4]], [[1, 2, 3, 4]], [[1, 2, 3], [4]]]
)
async def test_the_last_amounts_are_there_however_many_joined_at_once(
    redis: Redis, batches: list[list[int]]
) -> None:
    last = None
    async with Mirroring(redis).running() as mirror:
        for amounts in batches:
            last = scored(last, *amounts)
            mirror.change({USER: last})
            await mirror.flush()

    assert await amounts_in(redis) == ["0.04", "0.03", "0.02"]
    assert await redis.hmget(f"user:{USER}:window", "count", "sum", "last_offset") == ["3", "0.09", "3"]


async def test_changes_that_wait_together_are_written_together(redis: Redis) -> None:
    async with Mirroring(redis).running() as mirror:
        mirror.change({USER: (first := scored(None, 1, 2))})
        await mirror.flush()
        mirror.change({USER: (second := scored(first, 3))})
        mirror.change({USER: scored(second, 4)})
        await mirror.flush()

    assert await amounts_in(redis) == ["0.04", "0.03", "0.02"]


@pytest.mark.parametrize("lost", ["all", "list", "hash", "newer"])
async def test_a_mirror_that_has_something_else_is_written_whole(redis: Redis, lost: str) -> None:
    async with Mirroring(redis).running() as mirror:
        mirror.change({USER: (first := scored(None, 1, 2))})
        await mirror.flush()
        match lost:
            case "all":
                await redis.flushdb()
            case "list":
                await redis.delete(f"user:{USER}:txn_amounts")
            case "hash":
                await redis.delete(f"user:{USER}:window")
            case "newer":  # by another owner of the partition
                await redis.hset(f"user:{USER}:window", "last_offset", "9")
        mirror.change({USER: scored(first, 3)})
        await mirror.flush()

    assert await amounts_in(redis) == (["0.02", "0.01"] if lost == "newer" else ["0.03", "0.02", "0.01"])
    assert await redis.hget(f"user:{USER}:window", "last_offset") == ("9" if lost == "newer" else "2")


async def test_after_a_redis_that_was_away_the_mirror_rests_no_longer_than_the_pipeline_is_behind(
    redis: Redis,
) -> None:
    users = [f"{number:032d}" for number in range(MANY_USERS + 1)]
    await redis.client_pause(2_000, all=False)
    async with Mirroring(redis).running() as mirror:
        mirror.change({user: window(1, 5) for user in users})
        async with asyncio.timeout(10):  # ten times the outage would be 20 s
            await mirror.flush()

    assert len([key async for key in redis.scan_iter("user:*:window", count=10_000)]) == len(users)


async def test_windows_that_cannot_be_described_do_not_end_the_mirror(redis: Redis) -> None:
    async with Mirroring(redis).running() as mirror:
        mirror.change({USER: Window.of([1], last_offset=1, updated_at=10**17)})
        await mirror.flush()

    assert await redis.hget(f"user:{USER}:window", "updated_at") == "9999-12-31T23:59:59.999000+00:00"


async def test_what_a_partition_owes_is_written_after_its_windows_were_closed(redis: Redis) -> None:
    async with Mirroring(redis).running() as mirror:
        mirror.change({USER: scored(None, 1, 2)}, partition=3)
        mirror.detach(3)
        del mirror.windows[USER]
        await mirror.flush()

    assert await amounts_in(redis) == ["0.02", "0.01"]


async def test_what_a_partition_owes_beyond_a_bound_is_left_to_its_next_owner(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.sinks.redis_mirror._MOST_DETACHED", 10)
    async with Mirroring(redis).running() as mirror:
        mirror.change({f"{number:032d}": window(1, 5) for number in range(30)}, partition=3)
        mirror.detach(3)
        await mirror.flush()

    assert len([key async for key in redis.scan_iter("user:*:window")]) == 10


async def test_windows_that_cannot_be_read_are_left_out_and_the_others_are_mirrored(redis: Redis) -> None:
    other = USER[:-1] + "2"
    async with Mirroring(redis).running() as mirror:
        mirror.put(3, {other: window(1, 5)})  # of a partition whose windows are gone
        mirror.change({USER: window(1, 5)})
        await mirror.flush()

    assert [key async for key in redis.scan_iter("user:*:window")] == [f"user:{USER}:window"]


async def test_what_joins_while_a_chunk_is_on_its_way_follows_it(redis: Redis) -> None:
    last = scored(None, 1)
    async with Mirroring(redis).running() as mirror:
        for amount in range(2, 40):
            mirror.change({USER: last})
            for _ in range(amount % 7):  # the writer gets on as far as it comes meanwhile
                await asyncio.sleep(0)
            last = scored(last, amount)
        mirror.change({USER: last})
        await mirror.flush()

    assert await amounts_in(redis) == ["0.39", "0.38", "0.37"]
    assert await redis.hget(f"user:{USER}:window", "last_offset") == "38"
