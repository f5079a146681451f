"""The row sink on a real Postgres: what is stored is what was given, exactly, and only by the owner."""

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.checks import OPTIONAL
from schemas.transaction import Decoder, Transaction
from stream_app.batch import LostPartitionError
from stream_app.scoring import Arrival, Verdict
from stream_app.sinks.postgres import (
    LIMITS,
    LOCK,
    MERGED_AFTER_A_DUPLICATE,
    TAKE_OVER,
    LostRowsError,
    PostgresRows,
    TakenOver,
    connect,
)
from stream_app.window import Window
from tests.support.detectors import mean_flag, rolling_scorer, verdict_on
from tests.support.fakes import FakeRows
from tests.support.traffic import revised, traffic

APP, TOPIC = "txnwatch", "transactions"
ALL_VERDICTS = """
SELECT source_offset, id::text, status, meta_data FROM transactions
UNION ALL SELECT source_offset, id::text, status, meta_data FROM transactions_replaced ORDER BY 1
"""


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with connect(database) as pool:
        yield pool


@pytest.fixture(params=[0, 100], ids=["copied", "merged"])
def sink(pool: asyncpg.Pool, request: pytest.FixtureRequest) -> PostgresRows:
    return PostgresRows(pool, TOPIC, app_id=APP, retry_seconds=5, few_rows=request.param)


def row(offset: int, **changes: Any) -> Verdict:
    fields: dict[str, Any] = {
        "id": str(uuid4()),
        "user_id": str(uuid4()),
        "amount": 1230,
        "currency": "INR",
        "txn_date": datetime(2024, 1, 1, tzinfo=UTC),
        "status": "paid",
        "meta_data": None,
    }
    transaction = Transaction(**(fields | changes))
    return verdict_on(offset, transaction)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=32)
NAME = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=64)
ROWS = st.builds(
    lambda changes: changes,
    st.fixed_dictionaries(
        {
            "id": st.uuids().map(str),
            "user_id": st.uuids().map(str),
            "amount": st.one_of(
                st.integers(0, 10**20 - 1),
                st.sampled_from([99, 100, 999_999, 10**6, 10**8, 10**20 - 1]),
            ),
            "currency": st.text("ABCXYZabc", min_size=3, max_size=3),
            "txn_date": st.datetimes(timezones=st.just(UTC)),
            "status": TEXT,
            "meta_data": st.none() | st.dictionaries(TEXT, st.none() | TEXT | st.integers() | st.booleans()),
        },
        optional={
            "merchant_id": NAME,
            "card_id": NAME,
            "country": st.sampled_from(["IN", "DE"]),
            "channel": TEXT.filter(bool),
        },
    ),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, min_size=1, max_size=20, unique_by=lambda changes: str(changes["id"])))
async def test_every_field_is_stored_exactly(
    pool: asyncpg.Pool, sink: PostgresRows, changes: list[dict[str, Any]]
) -> None:
    await pool.execute("TRUNCATE transactions, users, sink_offsets")
    epoch, *_ = await sink.take_over(0)
    rows = [row(offset, **fields) for offset, fields in enumerate(changes)]

    assert await sink.write(0, epoch, rows, len(rows)) == len(rows)

    stored = {str(record["id"]): record for record in await pool.fetch("SELECT * FROM transactions")}
    assert len(stored) == len(changes)
    for fields in changes:
        record = stored[fields["id"]]
        assert record["user_id"] == UUID(fields["user_id"])
        assert record["amount"] == Decimal(fields["amount"]).scaleb(-2)
        assert record["txn_date"] == fields["txn_date"]
        assert (record["currency"], record["status"]) == (fields["currency"], fields["status"])
        assert [record[name] for name in OPTIONAL] == [fields.get(name) for name in OPTIONAL]
        assert json.loads(record["meta_data"]) == (fields["meta_data"] or {}) | {"is_anomaly": False}
        assert changes[record["source_offset"]] == fields
    assert {record["source"] for record in stored.values()} == {
        await pool.fetchval("SELECT source FROM sink_offsets")
    }


async def test_rows_below_the_next_offset_are_dropped(pool: asyncpg.Pool, sink: PostgresRows) -> None:
    epoch, *_ = await sink.take_over(0)
    batch = [row(offset) for offset in range(10)]
    await sink.write(0, epoch, batch[:6], 6)

    assert await sink.write(0, epoch, batch, 10) == 4

    assert await pool.fetchval("SELECT count(*) FROM transactions") == 10
    assert await sink.take_over(0) == TakenOver(epoch + 1, 10)


async def test_the_same_transaction_again_leaves_the_first(pool: asyncpg.Pool, sink: PostgresRows) -> None:
    epoch, *_ = await sink.take_over(0)
    first = row(0, status="first")
    again = row(1, id=first.transaction.id, user_id=first.transaction.user_id, status="again")

    assert await sink.write(0, epoch, [first], 1) == 1
    assert await sink.write(0, epoch, [again], 2) == 0

    assert [record["status"] for record in await pool.fetch("SELECT status FROM transactions")] == ["first"]


async def test_of_one_id_in_a_batch_the_first_stays_and_the_others_are_stored(
    pool: asyncpg.Pool, sink: PostgresRows
) -> None:
    epoch, *_ = await sink.take_over(0)
    first = row(0, status="first", user_id=str(UUID(int=0)))
    again = row(1, id=first.transaction.id, user_id=str(UUID(int=0)), status="again")

    assert await sink.write(0, epoch, [first, again, row(2)], 3) == 2
    assert await sink.write(0, epoch, [row(3), row(4)], 5) == 2

    statuses = await pool.fetch("SELECT status FROM transactions ORDER BY status")
    assert [record["status"] for record in statuses] == ["first", "paid", "paid", "paid"]
    assert await sink.take_over(0) == TakenOver(epoch + 1, 5)


async def test_a_debit_and_its_credit_are_a_row_each(pool: asyncpg.Pool, sink: PostgresRows) -> None:
    """They have one id and one date, and two users."""
    epoch, *_ = await sink.take_over(0)
    debit = row(0)
    credit = row(1, id=debit.transaction.id)

    assert await sink.write(0, epoch, [debit, credit], 2) == 2

    stored = await pool.fetch("SELECT user_id::text FROM transactions")
    assert {record["user_id"] for record in stored} == {debit.transaction.user_id, credit.transaction.user_id}


@pytest.mark.parametrize("size", [1, 7, 400])
async def test_revisions_come_to_what_one_verdict_after_the_other_comes_to(
    pool: asyncpg.Pool, sink: PostgresRows, size: int
) -> None:
    """Also where a row moves back, or another takes the place that it has left."""
    sent = revised(traffic(200, users=2), seed=size)
    sent += [replace(one, status="late") for one in sent[:40]]  # known no more: the first stays, or is gone
    transactions = [Decoder().decode(one.value, one.key, -1) for one in sent]
    arrivals = [Arrival(offset, 0, one) for offset, one in enumerate(transactions)]
    verdicts = rolling_scorer().score(arrivals, defaultdict(Window)).verdicts
    expected = FakeRows(lambda _step: None)
    epoch, *_ = await sink.take_over(0)

    for start in range(0, len(verdicts), size):
        some = verdicts[start : start + size]
        await expected.write(0, 1, some, some[-1].offset + 1)
        await sink.write(0, epoch, some, some[-1].offset + 1)

    rows = await pool.fetch(
        "SELECT id::text, txn_date, user_id::text, status, meta_data, merchant_id, country, channel"
        " FROM transactions"
    )
    found = {tuple(row[:3]): (row[3], json.loads(row[4]), *row[5:]) for row in map(tuple, rows)}
    assert found == {
        key: (one["status"], one["meta_data"], *map(one.get, ("merchant_id", "country", "channel")))
        for key, one in ((key, json.loads(row)) for key, row in expected.stored.items())
    }
    assert max(meta.get("revision", 0) for _, meta, *_ in found.values()) > 2
    kept = await pool.fetch(ALL_VERDICTS)
    assert [(*row[:3], json.loads(row[3])) for row in map(tuple, kept)] == [
        (one.offset, one.transaction.id, one.transaction.status, json.loads(one.encoded()[1]))
        for one in verdicts
    ]


async def test_a_duplicate_early_in_a_long_copy_costs_no_other_row(
    pool: asyncpg.Pool, sink: PostgresRows
) -> None:
    epoch, *_ = await sink.take_over(0)
    first = row(0, status="first")
    await sink.write(0, epoch, [first], 1)
    again = row(1, id=first.transaction.id, user_id=first.transaction.user_id, status="again")

    assert await sink.write(0, epoch, [again, *map(row, range(2, 5_000))], 5_000) == 4_998

    assert await pool.fetchval("SELECT count(*) FROM transactions") == 4_999
    assert await pool.fetchval("SELECT count(*) FROM users") == 4_999


async def test_partitions_with_the_same_ids_at_the_same_time_store_each_once(
    pool: asyncpg.Pool, sink: PostgresRows
) -> None:
    sink = replace(sink, retry_seconds=60)  # each deadlock is noticed after a second
    rows = [row(offset) for offset in range(500)]
    epochs = [(await sink.take_over(partition))[0] for partition in range(4)]
    orders = [rows, rows[::-1], rows, rows[::-1]]

    stored = await asyncio.gather(
        *(
            sink.write(partition, epoch, order, 500)
            for partition, (epoch, order) in enumerate(zip(epochs, orders, strict=True))
        )
    )

    assert sum(stored) == 500
    assert await pool.fetchval("SELECT count(*) FROM transactions") == 500
    assert await pool.fetchval("SELECT count(*) FROM users") == 500


@pytest.mark.slow
async def test_a_partition_is_taken_from_who_is_frozen_in_the_middle_of_a_copy(pool: asyncpg.Pool) -> None:
    sink = PostgresRows(pool, TOPIC, app_id=APP, retry_seconds=60)
    await sink.take_over(0)
    copying = asyncio.Event()

    async def frozen() -> AsyncIterator[bytes]:
        copying.set()
        await asyncio.get_running_loop().create_future()
        yield b""

    async def former_owner() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(LOCK, APP, TOPIC, 0)
            await connection.copy_to_table("users", source=frozen(), format="binary", timeout=600)

    former = asyncio.create_task(former_owner())
    await copying.wait()

    epoch, *_ = await sink.take_over(0)

    assert epoch == 2
    former.cancel()
    await asyncio.wait([former])


async def test_what_is_copied_and_what_is_merged_is_the_same(pool: asyncpg.Pool) -> None:
    meta = {
        "deep": [{"a": [1.5, None, '\u20ac \\ " \n']}],
        "much": 10**300,
        "exact": Decimal("12345678901234567.89"),
    }
    flag = mean_flag("2.00", 20, 6.15, "10.00")
    dates = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    given = [
        verdict_on(offset, one.transaction, mark)
        for offset, (date, mark) in enumerate(itertools.product(dates, [None, flag]))
        for one in [row(offset, txn_date=date, amount=10**20 - 1, meta_data=meta, status="\u2028\x7f")]
    ]
    found = []
    for few_rows in (0, 100):
        await pool.execute("TRUNCATE transactions, users, sink_offsets")
        sink = PostgresRows(pool, TOPIC, app_id=APP, retry_seconds=5, few_rows=few_rows)
        epoch, *_ = await sink.take_over(0)
        assert await sink.write(0, epoch, given, 4) == 4
        rows = await pool.fetch("SELECT * FROM transactions ORDER BY id")
        found.append([{**row, "source": None, "changed": None} for row in rows])

    assert found[0] == found[1]


async def test_a_batch_without_rows_advances_the_offset(sink: PostgresRows) -> None:
    epoch, *_ = await sink.take_over(0)

    assert await sink.write(0, epoch, [], 7) == 0

    assert await sink.take_over(0) == TakenOver(epoch + 1, 7)


async def test_after_a_duplicate_rows_are_stored_while_batches_are_merged_and_when_copied_again(
    pool: asyncpg.Pool,
) -> None:
    sink = PostgresRows(pool, TOPIC, app_id=APP, retry_seconds=5, few_rows=0)
    epoch, *_ = await sink.take_over(0)
    first = row(0)

    await sink.write(0, epoch, [first], 1)
    again = row(1, id=first.transaction.id, user_id=first.transaction.user_id)
    assert await sink.write(0, epoch, [again], 2) == 0
    for offset in range(2, MERGED_AFTER_A_DUPLICATE + 4):
        assert await sink.write(0, epoch, [row(offset)], offset + 1) == 1

    assert await pool.fetchval("SELECT count(*) FROM transactions") == MERGED_AFTER_A_DUPLICATE + 3


async def test_a_former_owner_is_refused_and_writes_nothing(pool: asyncpg.Pool, sink: PostgresRows) -> None:
    former, *_ = await sink.take_over(0)
    await sink.take_over(0)

    with pytest.raises(LostPartitionError, match="epoch"):
        await sink.write(0, former, [row(0)], 1)

    assert await pool.fetchval("SELECT count(*) FROM transactions") == 0


async def _written_behind(
    pool: asyncpg.Pool, write: Coroutine[Any, Any, int], change: str, *given: Any
) -> int:
    """What the write gives that began, and waited, before this change was committed."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(change, *given)
        writing = asyncio.create_task(write)
        async with asyncio.timeout(10):
            while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - Postgres tells nobody
                await asyncio.sleep(0.01)
    return await writing


async def test_who_waits_for_the_row_of_a_partition_meets_the_epoch_as_it_is_then(
    pool: asyncpg.Pool, sink: PostgresRows
) -> None:
    """Its statement began, and saw the table, before the next owner was there."""
    former, *_ = await sink.take_over(0)
    with pytest.raises(LostPartitionError, match="epoch"):
        await _written_behind(pool, sink.write(0, former, [row(0)], 1), TAKE_OVER, APP, TOPIC, 0)

    assert await pool.fetchval("SELECT count(*) FROM transactions") == 0
    assert await sink.take_over(0) == TakenOver(former + 2, 0)


async def test_a_batch_again_that_waits_for_itself_leaves_out_what_it_has_stored(
    pool: asyncpg.Pool, sink: PostgresRows
) -> None:
    """A connection may break while the server still stores what came over it."""
    epoch, *_ = await sink.take_over(0)
    writing = sink.write(0, epoch, [row(offset) for offset in range(3)], 3)

    assert await _written_behind(pool, writing, "UPDATE sink_offsets SET next_offset = 2") == 1

    assert [one["source_offset"] for one in await pool.fetch(ALL_VERDICTS)] == [2]


async def test_rows_that_are_gone_are_not_gone_on_without(pool: asyncpg.Pool, sink: PostgresRows) -> None:
    epoch, *_ = await sink.take_over(0)
    await sink.write(0, epoch, [row(0), row(1)], 2)
    await pool.execute("UPDATE sink_offsets SET next_offset = 1")

    with pytest.raises(LostRowsError, match=r"up to offset 2 and has them up to 1.*rows restore"):
        await sink.write(0, epoch, [row(2)], 3)
    epoch, *_ = await sink.take_over(0)
    sink.expect(0, 3)
    with pytest.raises(LostRowsError, match=r"up to offset 3 and has them up to 1"):
        await sink.write(0, epoch, [row(3)], 4)
    assert await pool.fetchval("SELECT count(*) FROM transactions") == 2

    sink.expect(0, 1)
    assert await sink.write(0, epoch, [row(3)], 4) == 1


async def test_a_former_owner_is_no_judge_of_what_is_lost(sink: PostgresRows) -> None:
    """It may know of offsets that the next owner has brought about."""
    former, *_ = await sink.take_over(0)
    await sink.take_over(0)
    sink.expect(0, 200)

    with pytest.raises(LostPartitionError, match="epoch"):
        await sink.write(0, former, [row(200)], 201)


async def test_partitions_have_epochs_of_their_own(sink: PostgresRows) -> None:
    epoch, *_ = await sink.take_over(0)
    await sink.take_over(1)

    assert await sink.write(0, epoch, [row(0)], 1) == 1


async def test_each_user_is_listed_once(pool: asyncpg.Pool, sink: PostgresRows) -> None:
    epoch, *_ = await sink.take_over(0)
    user = str(uuid4())

    await sink.write(0, epoch, [row(0, user_id=user), row(1, user_id=user), row(2)], 3)
    await sink.write(0, epoch, [row(3, user_id=user)], 4)

    assert await pool.fetchval("SELECT count(*) FROM users") == 2


async def test_a_broken_connection_is_replaced_and_the_rows_are_stored(
    pool: asyncpg.Pool, sink: PostgresRows, database: str
) -> None:
    epoch, *_ = await sink.take_over(0)
    await sink.write(0, epoch, [row(0)], 1)
    other = await asyncpg.connect(database)
    await other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await other.close()

    assert await sink.write(0, epoch, [row(1)], 2) == 1

    assert await pool.fetchval("SELECT count(*) FROM transactions") == 2


async def test_a_server_that_stays_away_is_given_up_on_in_the_time_given() -> None:
    started = datetime.now(UTC)
    async with connect("postgresql://nobody@127.0.0.1:1/none") as pool:
        with pytest.raises(OSError):  # noqa: PT011 - several errors in one, of every address tried
            await PostgresRows(pool, TOPIC, app_id=APP, retry_seconds=1).take_over(0)
    assert datetime.now(UTC) - started < timedelta(seconds=20)


@pytest.mark.slow
async def test_a_former_owner_frozen_in_its_transaction_does_not_keep_the_partition(
    database: str, sink: PostgresRows
) -> None:
    await sink.take_over(0)
    frozen = await asyncpg.connect(database, server_settings=LIMITS)
    await frozen.execute("BEGIN")
    await frozen.execute("SELECT 1 FROM sink_offsets FOR UPDATE")

    async with asyncio.timeout(30):
        assert await sink.take_over(0) == TakenOver(2, 0)

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
        await frozen.execute("COMMIT")
    frozen.terminate()
