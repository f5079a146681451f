"""The same clients as http_load.py, asking Postgres itself for the page; prints what they saw.

`python -m benchmarks.sql_load URL CLIENTS SECONDS`: over 10 connections, as the API has by default.
"""

import asyncio
import sys
import time

import asyncpg
import msgspec
import uvloop

from api.reading.statements import page_statement
from benchmarks.http_load import Seen
from benchmarks.range_rows import FILTERS, LIMIT
from benchmarks.schedule import percentile


async def _measure(url: str, clients: int, seconds: float) -> Seen:
    statement, values = page_statement(FILTERS, None, LIMIT)
    times: list[float] = []
    async with asyncpg.create_pool(url, min_size=10, max_size=10, reset=_as_it_is) as pool:
        until = time.perf_counter() + seconds

        async def client() -> None:
            while (asked := time.perf_counter()) < until:
                async with pool.acquire() as connection:
                    await connection.fetch(statement, *values)
                times.append(1000 * (time.perf_counter() - asked))

        await asyncio.gather(*(client() for _ in range(clients)))
    times.sort()
    return Seen(len(times) / seconds, percentile(times, 50) or 0, percentile(times, 99) or 0, 0)


async def _as_it_is(_: asyncpg.Connection) -> None:
    """As the API does: nothing to put back."""


def main() -> None:
    """Measure, and print it as JSON."""
    url, clients, seconds = sys.argv[1:]
    seen = uvloop.run(_measure(url, int(clients), float(seconds)))
    sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")


if __name__ == "__main__":
    main()
