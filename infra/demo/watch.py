"""What the demo shows: how many transactions are scored, and each flag with its reason."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from schemas.rule import Rule, Words, sentence

Say = Callable[[str], None]

SHOW_SECONDS = 2
AWAY = (aiohttp.ClientError, OSError, TimeoutError)


class NoAnswerError(Exception):
    """An address did not answer in time; the message names it."""


async def until_answers(session: aiohttp.ClientSession, url: str, *, within: float) -> None:
    """Wait until the address answers with 200.

    Raises:
        NoAnswerError: It does not within so many seconds.
    """
    try:
        async with asyncio.timeout(within):
            while not await _answers(session, url):  # noqa: ASYNC110 - another process, which sets no event
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise NoAnswerError(f"{url} did not answer within {within:g} s") from None


async def show_counts(session: aiohttp.ClientSession, metrics: str, say: Say) -> None:
    """Say every other second how many transactions the worker has scored; silent while nothing happens."""
    before, at = 0, time.monotonic()
    while True:
        await asyncio.sleep(SHOW_SECONDS)
        outcomes = await _outcomes(session, metrics)
        scored, now = outcomes.get("scored", 0), time.monotonic()
        if scored > before:
            rate, flagged = (scored - before) / (now - at), outcomes.get("flagged", 0)
            say(f"{time.strftime('%H:%M:%S')}  {scored:>9,} scored  {rate:>7,.0f}/s  {flagged:>6,} flagged")
        before, at = scored, now


async def show_flags(session: aiohttp.ClientSession, api: str, say: Say) -> None:
    """Say each flag of the API's live feed as it comes, in the words of its detector."""
    last_event_id, feed = "", f"{api}/sse/anomalies"
    words: dict[str, Words] = {}
    while True:
        try:
            headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
            async with session.get(feed, headers=headers, timeout=aiohttp.ClientTimeout(None)) as stream:
                async for event_id, row in _rows(stream):
                    last_event_id = event_id
                    if row["meta_data"].get("detector") not in words:
                        words = await _words(session, f"{api}/dashboard/data/rule")
                    say(f"  flag: {sentence(row, words)} (user {row['user_id']})")
        except AWAY:
            await asyncio.sleep(SHOW_SECONDS)


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


async def _outcomes(session: aiohttp.ClientSession, metrics: str) -> dict[str, int]:
    try:
        async with session.get(metrics) as response:
            text = await response.text()
    except AWAY:
        return {}
    return {
        sample.labels["outcome"]: int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "txnwatch_records_total"
    }


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.ok
    except AWAY:
        return False
