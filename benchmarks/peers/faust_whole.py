"""The whole job on stock Faust row by row: for each transaction an INSERT, a Redis pipeline, a send."""
# mypy: disable-error-code="untyped-decorator"

import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import faust
from redis.asyncio import Redis

from benchmarks.peers.rule import hundredths, joined, scored, stands_out

INSERT = """
INSERT INTO transactions (id, user_id, amount, currency, txn_date, status, meta_data)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
"""

app = faust.App(
    os.environ["PEER_RUN"],
    broker=f"kafka://{os.environ['PEER_KAFKA']}",
    store="rocksdb://",
    datadir=os.environ["PEER_FOLDER"],
    topic_partitions=4,
    web_bind="127.0.0.1",
    web_port=int(os.environ["PEER_WEB_PORT"]),
)


def topic(variable: str) -> faust.Topic:
    """A topic of JSON by user."""
    return app.topic(os.environ[variable], key_type=str, key_serializer="raw", value_serializer="json")


transactions, anomalies, everything = topic("PEER_INPUT"), topic("PEER_OUTPUT"), topic("PEER_SCORED")
windows = app.Table("windows", default=list, partitions=4)


@app.agent(transactions)
async def score(stream: faust.Stream) -> None:
    """Score each transaction, store it, mirror its window, send it on."""
    pool = await asyncpg.create_pool(os.environ["PEER_POSTGRES"])
    redis = Redis.from_url(os.environ["PEER_REDIS"])
    transaction: dict[str, Any]
    async for transaction in stream:
        user, amount = transaction["user_id"], hundredths(transaction["amount"])
        window = windows[user]
        flagged = stands_out(window, amount)
        row = scored(transaction, window, flagged=flagged)
        windows[user] = window = joined(window, amount)
        await pool.execute(INSERT, *columns(row))
        await mirror(redis, user, window)
        await everything.send(key=user, value=row)
        if flagged:
            await anomalies.send(key=user, value=row)


def columns(row: dict[str, Any]) -> tuple[Any, ...]:
    """The row in the order of INSERT."""
    date = datetime.fromisoformat(row["txn_date"]).astimezone(UTC)
    texts = (row["currency"], date, row["status"], json.dumps(row["meta_data"]))
    return (row["id"], row["user_id"], Decimal(row["amount"]), *texts)


async def mirror(redis: Redis, user: str, window: list[int]) -> None:
    """The window in Redis, in one round trip."""
    total = sum(window)
    pipeline = redis.pipeline(transaction=False)
    pipeline.hset(f"user:{user}:window", mapping={"count": len(window), "sum": total / 100})
    pipeline.lpush(f"user:{user}:txn_amounts", window[-1] / 100)
    pipeline.ltrim(f"user:{user}:txn_amounts", 0, 19)
    await pipeline.execute()


if __name__ == "__main__":
    app.main()
