"""What the demo shows: how many transactions are scored, and each flag with its reason."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

Say = Callable[[str], None]

SHOW_SECONDS = 2
AWAY = (aiohttp.ClientError, OSError, TimeoutError)


async def until_answers(session: aiohttp.ClientSession, url: str, *, within: float) -> None:
    """Wait until the address answers with 200; TimeoutError when it does not in so many seconds."""
    async with asyncio.timeout(within):
        while not await _answers(session, url):  # noqa: ASYNC110 - another process, which sets no event
            await asyncio.sleep(0.1)


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


async def show_flags(session: aiohttp.ClientSession, feed: str, say: Say) -> None:
    """Say each flag of the live feed as it comes."""
    last_event_id = ""
    while True:
        try:
            headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
            async with session.get(feed, headers=headers, timeout=aiohttp.ClientTimeout(None)) as stream:
                async for event_id, row in _rows(stream):
                    last_event_id = event_id
                    say(f"  flag: {reason(row)}")
        except AWAY:
            await asyncio.sleep(SHOW_SECONDS)


def reason(row: Mapping[str, Any]) -> str:
    """A flagged row in words.

    >>> flag = {"detector": "rolling_mean", "mean": "1266.00", "window": 20, "ratio": 7.2986}
    >>> reason({"user_id": "u", "amount": "9240.00", "currency": "INR", "meta_data": flag})
    'INR 9,240.00 is 7.3 x the mean of 1,266.00 over the last 20 transactions of user u'
    """
    flag, user = row["meta_data"], row["user_id"]
    amount, mean = (f"{float(text):,.2f}" for text in (row["amount"], flag["mean"]))
    past = f"the mean of {mean} over the last {flag['window']} transactions of user {user}"
    return f"{row['currency']} {amount} is {flag['ratio']:.1f} x {past}"


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
