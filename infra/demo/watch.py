"""What else the demo shows: each flag with its reason, and what is wrong with its services and disk."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from infra.demo.children import Child, ChildError, Children, failure
from infra.embedded import cluster
from schemas.rule import Rule, Words, sentence

Say = Callable[[str], None]

_AGAIN_SECONDS = 2.0
_LOOK_SECONDS = 1.0
_LITTLE_BYTES = 512 << 20
_AWAY = (aiohttp.ClientError, OSError, TimeoutError)


async def until_answers(
    session: aiohttp.ClientSession, child: Child, url: str, port: int, *, within: float
) -> None:
    """Wait until the child, and not another program that has its port, answers there with 200.

    Raises:
        ChildError: It ended, or does not answer within so many seconds; with the end of its log.
    """
    deadline = time.monotonic() + within
    while not (child.listens_on(port) and await _answers(session, url)):
        if child.process.returncode is not None or time.monotonic() > deadline:
            raise failure(child)
        await asyncio.sleep(0.1)


async def show_flags(session: aiohttp.ClientSession, child: Child, api: str, port: int, say: Say) -> None:
    """Say each flag of the API's live feed as it comes, in the words of its detector."""
    last_event_id, feed = "", f"{api}/sse/anomalies"
    words: dict[str, Words] = {}
    while True:
        try:
            headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
            async with session.get(feed, headers=headers, timeout=aiohttp.ClientTimeout(None)) as stream:
                if not child.listens_on(port):  # another program's, in the place of one that ended
                    await asyncio.sleep(_AGAIN_SECONDS)
                    continue
                async for event_id, row in _rows(stream):
                    last_event_id = event_id
                    if row["meta_data"].get("detector") not in words:
                        words = await _words(session, f"{api}/dashboard/data/rule")
                    say(f"  flag: {sentence(row, words)} (user {row['user_id']})")
        except _AWAY:
            await asyncio.sleep(_AGAIN_SECONDS)


async def keep_services(folder: Path, children: Children, start: list[str]) -> None:
    """Say which service ended, and start it again; say why that fails, and try again."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        ended = cluster.not_running(folder)
        if not ended:
            continue
        names = ", ".join(ended)
        children.say(f"{names} ended: starting again; logs are in {folder / 'logs'}")
        try:
            await children.run(*start, shown=True)
        except ChildError:
            children.say(f"{names} cannot be started: trying again")
            await asyncio.sleep(_AGAIN_SECONDS)


async def watch_disk(folder: Path, say: Say) -> None:
    """Say that the disk is nearly full, once each time."""
    little = False
    while True:
        free = shutil.disk_usage(folder).free
        if free < _LITTLE_BYTES and not little:
            say(f"the disk of {folder} is nearly full: {free >> 20} MB are left; services end when none are")
        little = free < _LITTLE_BYTES
        await asyncio.sleep(_LOOK_SECONDS)


async def _words(session: aiohttp.ClientSession, url: str) -> dict[str, Words]:
    """The detectors' words; none while no worker answers the API."""
    async with session.get(url) as response:
        return msgspec.json.decode(await response.read(), type=Rule).words if response.ok else {}


async def _rows(stream: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The default events of a stream: (id, row)."""
    fields: dict[str, str] = {}
    async for line in stream.content:
        name, _, value = line.decode().rstrip("\r\n").partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
            continue
        if "data" in fields and "event" not in fields:
            yield fields.get("id", ""), json.loads(fields["data"])
        fields.clear()


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.ok
    except _AWAY:
        return False
