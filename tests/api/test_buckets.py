"""Counts, sums and flags by hour and day are those of the rows, whatever happens to these."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from api.reading.buckets import Buckets, buckets_statement
from infra.partitions.months import drop, ensure
from tests.support.rows import FLAG, START, Made, insert, made, own_partition, revise, store, user
from tests.support.serving import PATIENCE, Client

ALICE, BOB = user(1), user(2)
PATH = "/transactions/buckets"
EVER = {"from_date": "2000-01-01"}
MANY = [
    made(
        owner,
        n,
        hundredths=10 * n + 1,
        after=timedelta(minutes=25 * n, microseconds=n),
        flag=FLAG if n % 7 == 0 else None,
        currency="EUR" if n % 3 else "INR",
    )
    for n in range(120)
    for owner in (ALICE, BOB)
]


def expected(many: Sequence[Made], every: str) -> list[dict[str, Any]]:
    zero = {"minute": 0, "second": 0, "microsecond": 0} | ({"hour": 0} if every == "day" else {})
    counts, sums, flags = Counter[Any](), Counter[Any](), Counter[Any]()
    for one in many:
        start = one.txn.txn_date.replace(**zero)  # type: ignore[arg-type]
        key = start.strftime("%Y-%m-%dT%H:%M:%SZ"), one.txn.currency
        counts[key] += 1
        sums[key] += one.txn.amount
        flags[key] += one.shown["meta_data"]["is_anomaly"]
    return [
        {
            "start": start,
            "currency": currency,
            "count": counts[start, currency],
            "sum": str(Decimal(sums[start, currency]).scaleb(-2)),
            "flagged": flags[start, currency],
        }
        for start, currency in sorted(counts)
    ]


async def buckets(client: Client, **query: str) -> list[dict[str, Any]]:
    async with client.get(PATH, params={**EVER, **query}) as response:
        assert response.status == 200, await response.text()
        found: list[dict[str, Any]] = (await response.json())["buckets"]
        return found


@pytest.mark.parametrize("every", ["hour", "day"])
async def test_buckets_are_those_of_the_rows(client: Client, database: str, every: str) -> None:
    for start in range(0, len(MANY), 50):  # by several sessions
        await store(database, MANY[start : start + 50])
    assert await buckets(client, every=every) == expected(MANY, every)
    mine = [one for one in MANY if one.txn.user_id == ALICE]
    assert await buckets(client, every=every, user_id=ALICE) == expected(mine, every)
    euros = [one for one in MANY if one.txn.currency == "EUR"]
    assert await buckets(client, every=every, currency="EUR") == expected(euros, every)
    third = [one for one in MANY if one.txn.txn_date.day == 2 and one.txn.txn_date.hour in {3, 4}]
    day = [one for one in MANY if one.txn.txn_date.day == 2]
    inner = {"from_date": "2018-04-02T03:59:00Z", "to_date": "2018-04-02T04:00:00Z"}
    for more in ({}, {"user_id": ALICE}):
        whole = third if every == "hour" else day
        its = [one for one in whole if one.txn.user_id in more.get("user_id", one.txn.user_id)]
        assert await buckets(client, every=every, **inner, **more) == expected(its, every)


async def test_a_range_of_too_many_buckets_is_refused(
    client: Client, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(database, MANY)
    many = len(expected(MANY, "hour"))
    for module in ("reading", "routes"):
        monkeypatch.setattr(f"api.{module}.buckets.MOST_BUCKETS", many)
    assert len(await buckets(client, every="hour")) == many
    for module in ("reading", "routes"):
        monkeypatch.setattr(f"api.{module}.buckets.MOST_BUCKETS", many - 1)
    async with client.get(PATH, params={**EVER, "every": "hour"}) as response:
        assert response.status == 422
        assert [one["parameter"] for one in (await response.json())["errors"]] == ["from_date"]
    for query in ({"to_date": "9999-12-31T23:59:59.999999Z"}, {"from_date": "0001-01-01"}):
        assert await buckets(client, **query) == expected(MANY, "day")


async def test_whatever_changes_rows_changes_their_buckets(client: Client, database: str) -> None:
    await store(database, MANY[:60])
    rows = {one.txn.id: one for one in MANY[:60]}
    connection = await asyncpg.connect(database)

    async def same() -> None:
        assert await buckets(client, every="hour") == expected([*rows.values()], "hour")

    async def change(one: Made, before: Made) -> None:
        moved = before if one.txn.txn_date != before.txn.txn_date else None
        await revise(connection, one, before=moved)
        rows[one.txn.id] = one

    try:
        await own_partition(connection)
        await same()
        before = MANY[0]
        other = made(ALICE, 0, hundredths=500, currency="USD", revision=2)
        await change(other, before)
        await same()
        moved = made(ALICE, 0, hundredths=700, after=timedelta(days=50), revision=3)
        await change(moved, other)
        await same()
        async with client.post(f"/transactions/{MANY[2].txn.id}/label", json={"label": "fraud"}) as response:
            assert response.status == 200
        await same()
        await connection.execute("UPDATE transactions SET amount = amount + 1 WHERE id = $1", MANY[4].txn.id)
        rows[MANY[4].txn.id] = made(
            ALICE, 2, hundredths=121, after=MANY[4].txn.txn_date - START, currency="EUR"
        )
        await same()
        await connection.execute("DELETE FROM transactions WHERE user_id = $1", BOB)
        rows = {key: one for key, one in rows.items() if one.txn.user_id != BOB}
        await same()
        await connection.execute("TRUNCATE transactions")
        rows = {}
        await same()
    finally:
        await connection.close()


async def test_a_row_that_is_new_and_revised_at_once_counts_once(client: Client, database: str) -> None:
    """As in a batch that has both; and a transaction that fails leaves nothing."""
    one, revised = made(ALICE, 1), made(ALICE, 1, hundredths=99, currency="EUR", revision=2)
    connection = await asyncpg.connect(database)
    try:
        await own_partition(connection)
        for ends in (True, False):
            transaction = connection.transaction()
            await transaction.start()
            await revise(connection, one)
            await revise(connection, revised)
            await (transaction.commit() if ends else transaction.rollback())
            assert await buckets(client, every="hour") == expected([revised], "hour")
    finally:
        await connection.close()


async def test_partitions_that_write_to_one_hour_do_not_wait_for_each_other(
    client: Client, database: str
) -> None:
    async with AsyncExitStack() as stack:
        first, second = [await asyncpg.connect(database, timeout=PATIENCE) for _ in range(2)]
        for connection in (first, second):
            stack.push_async_callback(connection.close)
        writing = first.transaction()
        await writing.start()
        await insert(first, MANY[0])
        await first.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as when it ends
        await asyncio.wait_for(insert(second, MANY[2]), PATIENCE)
        await second.execute("SELECT fold_transaction_hours()")
        assert await buckets(client, every="hour") == expected([MANY[2]], "hour")
        await writing.commit()
        assert await buckets(client, every="hour") == expected([MANY[0], MANY[2]], "hour")


async def test_hours_that_are_over_have_a_row_each(client: Client, database: str) -> None:
    now = made(ALICE, 500, after=datetime.now(UTC) - START)
    for many in (MANY[:100], MANY[100:], [now]):
        await store(database, many)
    connection = await asyncpg.connect(database)
    try:
        for _ in range(2):
            await ensure(connection, 0)
            rows = await connection.fetchval("SELECT count(*) FROM transaction_hours")
            assert rows == len(expected([*MANY, now], "hour"))
            assert await connection.fetchval("SELECT max(session) FROM transaction_hours")
            assert await buckets(client, every="hour") == expected([*MANY, now], "hour")
    finally:
        await connection.close()


async def test_months_that_are_dropped_take_their_buckets_along(client: Client, database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(
            "CREATE TABLE old PARTITION OF transactions FOR VALUES FROM ('2018-04-01Z') TO ('2018-05-01Z')"
        )
        await store(database, [*MANY, made(ALICE, 500, after=datetime.now(UTC) - START)])
        assert await drop(connection, 1, "ann") == ["old"]
        assert [one["count"] for one in await buckets(client)] == [1]
    finally:
        await connection.close()


@pytest.mark.parametrize("user_id", [None, ALICE])
async def test_buckets_are_read_by_an_index(database: str, user_id: str | None) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(
            """
            INSERT INTO transactions
            SELECT gen_random_uuid(), CASE n % 50 WHEN 0 THEN $1::uuid ELSE gen_random_uuid() END, 1,
                   'INR', timestamptz '2018-04-01' + n * interval '1 hour', 'paid', '{}'
            FROM generate_series(1, 20000) AS n
            """,
            ALICE,
        )
        await connection.execute("ANALYZE transactions, transaction_hours")
        asked = Buckets(
            every="hour", from_date=START + timedelta(days=30), to_date=START + timedelta(days=40),
            currency=None, user_id=user_id,
        )  # fmt: skip
        statement, values = buckets_statement(asked)
        for mode in ("force_custom_plan", "force_generic_plan"):
            await connection.execute(f"SET plan_cache_mode = {mode}")
            [[plan]] = await connection.fetch(f"EXPLAIN (FORMAT JSON, ANALYZE) {statement}", *values)
            scans = [one for one in nodes(json.loads(plan)[0]["Plan"]) if "Relation Name" in one]
            assert scans
            assert all(one["Node Type"] != "Seq Scan" for one in scans), plan
            looked_at = sum(one["Actual Rows"] + one.get("Rows Removed by Filter", 0) for one in scans)
            assert looked_at <= 24 * 11, plan
    finally:
        await connection.close()


def nodes(node: dict[str, Any]) -> Any:
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)
