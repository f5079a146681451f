"""Scored transactions made up for tests, and put where the worker puts them."""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import asyncpg
from aiokafka import AIOKafkaProducer

from schemas.checks import OPTIONAL
from schemas.scored import Flag, encode_scored
from schemas.transaction import Transaction
from stream_app.sinks.postgres import REVISE, TAKE_OVER
from tests.support.detectors import mean_flag

_PARTITION = ("txnwatch", "transactions", 0)
START = datetime(2018, 4, 1, tzinfo=UTC)
FLAG = mean_flag("2.00", 20, 6.15, "10.00")


@dataclass(frozen=True, slots=True)
class Made:
    """One scored transaction: as a value, and as the worker writes it."""

    txn: Transaction
    row: bytes
    meta_data: bytes

    @property
    def shown(self) -> dict[str, Any]:
        """What every reader of it gets."""
        shown: dict[str, Any] = json.loads(self.row)
        return shown


def made(
    user_id: str,
    number: int = 0,
    *,
    hundredths: int = 1230,
    after: timedelta = timedelta(),
    flag: Flag | None = None,
    currency: str = "INR",
    status: str = "paid",
    meta_data: dict[str, Any] | None = None,
    revision: int = 0,
    **optional: str | None,
) -> Made:
    """A transaction of this user, `after` the start; equal arguments make equal ones."""
    row_id = str(uuid.uuid5(uuid.UUID(user_id), str(number)))
    txn = Transaction(row_id, user_id, hundredths, currency, START + after, status, meta_data, **optional)  # type: ignore[arg-type]
    return Made(txn, *encode_scored(txn, flag, revision))


def user(number: int = 1) -> str:
    """A user id."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


async def store(database: str, many: Iterable[Made]) -> None:
    """Puts them into Postgres, and their users."""
    rows = [
        (
            one.txn.id,
            one.txn.user_id,
            one.shown["amount"],
            one.txn.currency,
            one.txn.txn_date,
            one.txn.status,
            one.meta_data.decode(),
            *(getattr(one.txn, name) for name in OPTIONAL),
        )
        for one in many
    ]
    connection = await asyncpg.connect(database)
    try:
        await connection.executemany(
            "INSERT INTO transactions VALUES"
            " ($1, $2, $3::text::numeric, $4, $5, $6, $7::text::jsonb, $8, $9, $10, $11)",
            rows,
        )
        await connection.executemany(
            "INSERT INTO users (user_id) VALUES ($1) ON CONFLICT DO NOTHING", [(row[1],) for row in rows]
        )
    finally:
        await connection.close()


async def insert(connection: asyncpg.Connection, one: Made) -> None:
    """Puts a row without optional fields into Postgres."""
    await connection.execute(
        "INSERT INTO transactions VALUES ($1, $2, $3::text::numeric, $4, $5, $6, $7::text::jsonb)",
        one.txn.id, one.txn.user_id, one.shown["amount"], one.txn.currency, one.txn.txn_date, one.txn.status,
        one.meta_data.decode(),
    )  # fmt: skip


async def own_partition(connection: asyncpg.Connection) -> None:
    """Makes the partition known that rows are revised for."""
    await connection.execute(TAKE_OVER, *_PARTITION)


async def revise(connection: asyncpg.Connection, one: Made, before: Made | None = None) -> None:
    """Does with a row what the worker does; `before` is what it was where it had another date."""
    left = [{name: before.shown[name] for name in ("id", "user_id", "txn_date")}] if before else []
    await connection.execute(REVISE, *_PARTITION, f"[{one.row.decode()}]", json.dumps(left), "[]")


class Worker:
    """Publishes as the worker does: in transactions, keyed by the user, one partition a user."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, transactional_id=f"test-{uuid.uuid4()}"
        )

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def publish(self, *many: Made, each: int = 1, partition: int | None = None) -> None:
        """Sends them in order, `each` of them in one transaction: a marker follows every so many."""
        for start in range(0, len(many), each):
            async with self._producer.transaction():
                await self._send(many[start : start + each], partition)

    async def abort(self, *many: Made) -> None:
        """Sends them in a transaction that is given up."""
        await self._producer.begin_transaction()
        await self._send(many)
        await self._producer.abort_transaction()

    async def _send(self, many: Sequence[Made], partition: int | None = None) -> None:
        for one in many:
            await self._producer.send_and_wait(
                self._topic,
                value=one.row,
                key=one.txn.user_id.encode(),
                partition=partition_of(one.txn.user_id) if partition is None else partition,
            )


def partition_of(user_id: str) -> int:
    """Any fixed choice will do."""
    return uuid.UUID(user_id).int % 4
