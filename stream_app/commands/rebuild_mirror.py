"""`txnwatch mirror rebuild`: every window into Redis again, while workers run.

They come from the changelog's committed records: that is the one place which has all partitions' windows
and can be read while workers have their databases locked. A window never overwrites one of a later offset,
so it does not matter what workers write at the same time. What is there of a topic that is gone is removed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple

import click
from redis.asyncio import Redis

from infra.noting import note_if_possible
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.kafka import Records, admin_client, describe_cluster, read_committed
from infra.runtime.redis import check_server, passes
from infra.runtime.retry import retried
from infra.runtime.services import KAFKA, REDIS
from stream_app.settings import Settings
from stream_app.sinks.redis_windows import Placed, RedisWindows
from stream_app.state.store import NO_USER
from stream_app.window import decode_window


class Rebuilt(NamedTuple):
    """How many users have a window, and what was wrong in Redis: of other partitions or topics."""

    users: int
    overwritten: int
    removed: int


_TRY_AGAIN: Callable[..., Awaitable[Any]] = partial(retried, is_transient=passes, what="Redis")


@click.group()
def mirror() -> None:
    """Look after the windows' mirror in Redis."""


@mirror.command("rebuild")
def rebuild_command() -> None:
    """Write every window to Redis again, from the changelog; workers may run meanwhile."""
    settings = Settings.load()
    with ending_in_one_line(StopError, ValueError, REDIS, KAFKA):
        found = asyncio.run(_rebuilt_and_noted(settings))
    click.echo(f"{found.users} windows are in Redis as {settings.changelog_topic} has them, or newer")
    if wrong := found.overwritten + found.removed:
        click.echo(f"{wrong} were of another log: {found.overwritten} overwritten, {found.removed} removed")


async def _rebuilt_and_noted(settings: Settings) -> Rebuilt:
    found = await rebuild(settings)
    if settings.has_sink("postgres"):
        await note_if_possible(settings, "mirror rebuilt", f"{settings.app_id}: {found.users} windows")
    return found


async def rebuild(settings: Settings) -> Rebuilt:
    """Mirror the newest committed window of every user.

    Raises:
        KafkaError: The changelog cannot be read.
        RedisError: Redis does not answer at the start; if it fails later, it is waited for in a bounded time.
        ForeignMirrorError: The mirror is another app's.
        RedisKindError: Redis is a cluster or a Sentinel.
        ValueError: A window is of a later version than this program reads.
    """
    redis = Redis.from_url(settings.redis.get_secret_value(), socket_timeout=5, socket_connect_timeout=2)
    async with redis:
        await check_server(redis, settings)
        target = RedisWindows(redis, settings, attempt=partial(_TRY_AGAIN, within=settings.retry_seconds))
        target.topic_id = await _topic_id(settings)
        users = await _write_changelog(settings, target)
        return Rebuilt(users, target.of_other_logs, await target.remove_others())


async def _topic_id(settings: Settings) -> str:
    topic = settings.transactions_topic
    async with admin_client(settings, "topics") as admin:
        return (await describe_cluster(admin, [topic])).ids.get(topic, topic)


async def _write_changelog(settings: Settings, target: RedisWindows) -> int:
    """Write every window, and the later ones of the same users after them; how many users there are."""
    users: set[str] = set()
    async with aclosing(read_committed(settings, settings.changelog_topic)) as changelog:
        async for records in changelog:
            windows = _newest(records)
            users |= windows.keys()
            await target.write_all(windows.items())
    return len(users)


def _newest(records: Records) -> dict[str, Placed]:
    """The last window of each user in one partition's records."""
    newest = {record.key: record for record in records if record.key and record.value}
    return {
        key.decode(): (record.partition, decode_window(record.value or b""))
        for key, record in newest.items()
        if not key.startswith(NO_USER)
    }
