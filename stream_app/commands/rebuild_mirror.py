"""`txnwatch mirror rebuild`: every window into Redis again, while workers run.

They come from the changelog's committed records: that is the one place which has all partitions' windows
and can be read while workers have their databases locked. A window never overwrites one of a later offset,
so it does not matter what workers write meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import click
from redis.asyncio import Redis

from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.kafka import read_committed
from infra.runtime.redis import ForeignMirrorError, check_owner, passes
from infra.runtime.retry import retried
from infra.runtime.services import KAFKA, REDIS
from stream_app.settings import Settings
from stream_app.sinks.redis_windows import RedisWindows
from stream_app.window import decode_window

_TRY_AGAIN: Callable[..., Awaitable[Any]] = partial(retried, is_transient=passes, what="Redis")


@click.group()
def mirror() -> None:
    """Look after the windows' mirror in Redis."""


@mirror.command("rebuild")
def rebuild_command() -> None:
    """Write every window to Redis again, from the changelog; workers may run meanwhile."""
    settings = Settings.load()
    with ending_in_one_line(ForeignMirrorError, REDIS, KAFKA):
        count = asyncio.run(rebuild(settings))
    click.echo(f"{count} windows are in Redis as {settings.changelog_topic} has them, or newer")


async def rebuild(settings: Settings) -> int:
    """Mirror the newest committed window of every user; how many users there are.

    Raises:
        KafkaError: The changelog cannot be read.
        RedisError: Redis does not answer at the start; if it fails later, it is waited for in a bounded time.
        ForeignMirrorError: The mirror is another app's.
    """
    users: set[str] = set()
    redis = Redis.from_url(settings.redis.get_secret_value(), socket_timeout=5, socket_connect_timeout=2)
    async with redis:
        await check_owner(redis, settings)
        target = RedisWindows(redis, settings, attempt=partial(_TRY_AGAIN, within=settings.retry_seconds))
        async with aclosing(read_committed(settings, settings.changelog_topic)) as changelog:
            async for records in changelog:
                newest = {record.key: record.value for record in records if record.key and record.value}
                windows = {key.decode(): decode_window(value) for key, value in newest.items()}
                users |= windows.keys()
                await target.write_all(windows.items())
    return len(users)
