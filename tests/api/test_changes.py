"""Whoever follows the changes of rows misses none, however transactions commit."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from yarl import URL

from api.reading.changes import changes_statement
from api.reading.cursors import ChangePlace, Cursors, RowKey, key_from
from api.settings import Settings
from tests.support.rows import START, Made, insert, made, own_partition, revise, store, user
from tests.support.serving import PATIENCE, Client, serving

ALICE, BOB = user(1), user(2)
PATH = "/transactions/changes"
LONG_AGO = "2000-01-01"
Key = tuple[str, str, str]


class Follower:
    """A copy of the table, kept by what a client sees."""

    def __init__(self, client: Client, since: str = LONG_AGO, limit: int = 3) -> None:
        self._client, self._query = client, {"changed_since": since, "limit": str(limit)}
        self.rows: dict[Key, dict[str, Any]] = {}
        self.seen = 0

    async def once(self) -> bool:
        """Take one page in; whether it says that there is more."""
        async with self._client.get(PATH, params=self._query) as response:
            assert response.status == 200, await response.text()
            page = await response.json()
            more = "next" in response.links
        for row in page["transactions"]:
            self.rows[key_of(row)] = row
        for gone in page["gone"]:
            self.rows.pop(key_of(gone), None)
        self.seen += len(page["transactions"])
        self._query["cursor"] = page["cursor"]
        return more

    async def to_the_end(self) -> dict[Key, dict[str, Any]]:
        while await self.once():
            pass
        return self.rows

    async def reach(self, expected: dict[Key, dict[str, Any]]) -> None:
        """Follow until the copy is this: a transaction of Postgres' own may hold back what is committed."""
        async with asyncio.timeout(PATIENCE):
            while await self.to_the_end() != expected:
                pass


def key_of(row: dict[str, Any]) -> Key:
    return row["id"], row["txn_date"], row["user_id"]


def shown(many: Sequence[Made]) -> dict[Key, dict[str, Any]]:
    return {key_of(one.shown): one.shown for one in many}


def numbered(count: int, first: int = 0) -> list[Made]:
    return [
        made(ALICE if n % 2 else BOB, n, after=timedelta(hours=n % 5)) for n in range(first, first + count)
    ]


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    try:
        await own_partition(connection)
        yield connection
    finally:
        await connection.close()


async def test_all_rows_come_first_and_then_what_changes(client: Client, database: str) -> None:
    before = numbered(10)
    await store(database, before)
    follower = Follower(client)
    await follower.reach(shown(before))
    assert not await follower.once()
    after = numbered(7, first=10)
    await store(database, after)
    await follower.reach(shown([*before, *after]))
    assert not await follower.once()


async def test_rows_of_before_there_was_the_column_are_among_them(
    client: Client, database: str, connection: asyncpg.Connection
) -> None:
    before, after = numbered(8), numbered(4, first=8)
    await store(database, before)
    await connection.execute("SET session_replication_role = replica")  # nothing numbers what it changes
    await connection.execute("UPDATE transactions SET changed = NULL")
    await connection.execute("DELETE FROM change_times")
    follower = Follower(client, since="2999-01-01")
    await follower.once()
    await store(database, after)
    await follower.reach(shown([*before, *after]))


async def test_from_a_time_on_it_is_what_changed_later(
    client: Client, database: str, connection: asyncpg.Connection
) -> None:
    await store(database, numbered(5))
    await connection.execute(
        "INSERT INTO change_times VALUES (clock_timestamp(), pg_snapshot_xmin(pg_current_snapshot()))"
    )
    now = await connection.fetchval("SELECT clock_timestamp()")
    later = numbered(4, first=5)
    await store(database, later)
    await Follower(client, since=now.isoformat()).reach(shown(later))


async def test_a_transaction_that_commits_late_is_not_missed(
    client: Client, database: str, connection: asyncpg.Connection
) -> None:
    early, late = numbered(2)
    follower = Follower(client)
    await follower.to_the_end()
    writing = connection.transaction()
    await writing.start()
    await insert(connection, early)
    await store(database, [late])  # begins later and ends earlier
    assert await follower.to_the_end() == {}
    await writing.commit()
    await follower.reach(shown([early, late]))


async def test_revisions_come_as_they_are_now_and_moved_ones_leave_their_former_key(
    client: Client, database: str, connection: asyncpg.Connection
) -> None:
    first, other = made(ALICE, 1), made(ALICE, 2)
    await store(database, [first, other])
    follower = Follower(client)
    await follower.reach(shown([first, other]))
    revised = made(ALICE, 1, status="settled", revision=2)
    await revise(connection, revised)
    await follower.reach(shown([revised, other]))
    moved = made(ALICE, 1, after=timedelta(days=40), revision=3)
    await revise(connection, moved, before=revised)
    await follower.reach(shown([moved, other]))
    back = made(ALICE, 1, revision=4)
    await revise(connection, back, before=moved)
    await follower.reach(shown([back, other]))
    await Follower(client, limit=1000).reach(shown([back, other]))


async def test_what_is_changed_and_removed_by_hand_is_told_too(
    client: Client, database: str, connection: asyncpg.Connection
) -> None:
    first, other, third = numbered(3)
    await store(database, [first, other, third])
    follower = Follower(client)
    await follower.reach(shown([first, other, third]))
    await connection.execute("UPDATE transactions SET status = 'checked' WHERE id = $1", other.txn.id)
    await connection.execute("DELETE FROM transactions WHERE id = $1", first.txn.id)
    await connection.execute(
        "UPDATE transactions SET txn_date = txn_date + interval '90 days' WHERE id = $1", third.txn.id
    )
    checked = made(ALICE, 1, after=timedelta(hours=1), status="checked")
    later = made(BOB, 2, after=timedelta(days=90, hours=2))
    await follower.reach(shown([checked, later]))


async def test_a_label_is_a_change(client: Client, database: str) -> None:
    one, other = numbered(2)
    await store(database, [one, other])
    follower = Follower(client)
    await follower.reach(shown([one, other]))
    seen = follower.seen
    async with client.post(f"/transactions/{one.txn.id}/label", json={"label": "fraud"}) as response:
        assert response.status == 200
    await follower.reach({**shown([other]), key_of(one.shown): {**one.shown, "label": "fraud"}})
    assert follower.seen == seen + 1


async def test_the_link_leads_as_far_as_there_is_something(client: Client, database: str) -> None:
    await store(database, numbered(5))
    url, seen = client.make_url(PATH).with_query({"changed_since": LONG_AGO, "limit": "2"}), 0
    while True:
        async with client.session.get(url) as response:
            seen += len((await response.json())["transactions"])
            if "next" not in response.links:
                break
            url = URL(response.links["next"]["url"])
    assert seen == 5


async def test_a_cursor_of_something_else_or_of_a_database_that_was_set_back_is_refused(
    pages_settings: Settings, database: str
) -> None:
    await store(database, numbered(1))
    cursors = Cursors(key_from("kept", Path()))
    ahead = cursors.of_change(ChangePlace(2**50))
    of_rows = cursors.of_row(BOB, RowKey(START, BOB, BOB))
    async with serving(pages_settings, cursor_key=SecretStr("kept")) as client:
        for wrong, why in (
            (ahead, "restored"),
            (of_rows, "not a cursor"),
            (ahead[:-1] + "!", "gave out"),
        ):
            query = {"changed_since": LONG_AGO, "cursor": wrong}
            async with client.get(PATH, params=query) as response:
                [error] = (await response.json())["errors"]
                assert (response.status, error["parameter"]) == (422, "cursor")
                assert why in error["detail"]


@pytest.mark.parametrize("seed", range(3))
async def test_followers_of_several_writers_have_every_row_in_the_end(
    client: Client, database: str, seed: int
) -> None:
    """Transactions of random length begin, write, and end by commit or by roll-back, across each other."""
    rng = random.Random(seed)
    follower, number = Follower(client, limit=rng.choice((1, 4, 1000))), 0
    async with AsyncExitStack() as stack:
        writers = [await asyncpg.connect(database) for _ in range(4)]
        for writer in writers:
            stack.push_async_callback(writer.close)
        await own_partition(writers[0])
        running: dict[int, Any] = {}
        current: dict[str, Made] = {}
        pending: dict[int, list[tuple[str, Made]]] = {}
        for _ in range(120):
            at = rng.randrange(4)
            if at not in running:
                running[at], pending[at] = writers[at].transaction(), []
                await running[at].start()
            elif rng.random() < 0.35:
                if rng.random() < 0.8:
                    await running.pop(at).commit()
                    current |= dict(pending.pop(at))
                else:
                    await running.pop(at).rollback()
                    del pending[at]
            else:
                one = await _written(writers[at], rng, number, at, {**current, **dict(pending[at])})
                number += 1
                pending[at].append((one.txn.id, one))
            if rng.random() < 0.5:
                await follower.once()
        for at, transaction in running.items():
            await transaction.commit()
            current |= dict(pending[at])
    await follower.reach(shown([*current.values()]))
    assert len(current) > 10


async def _written(
    connection: asyncpg.Connection, rng: random.Random, number: int, at: int, known: dict[str, Made]
) -> Made:
    """A new row, or a revision of one of this writer's: a partition has one owner."""
    owner = user(at)
    mine = [one for one in known.values() if one.txn.user_id == owner]
    if not mine or rng.random() < 0.5:
        one = made(owner, number, after=timedelta(hours=rng.randrange(3)))
        await insert(connection, one)
        return one
    before = rng.choice(mine)
    revised = _revision(before, rng, number)
    moved = before if revised.txn.txn_date != before.txn.txn_date else None
    await revise(connection, revised, before=moved)
    return revised


def _revision(before: Made, rng: random.Random, number: int) -> Made:
    of = next(n for n in range(number + 1) if made(before.txn.user_id, n).txn.id == before.txn.id)
    after = before.txn.txn_date - START if rng.random() < 0.5 else timedelta(days=rng.randrange(3) * 20)
    return made(before.txn.user_id, of, after=after, status=f"s{number}", revision=2)


@pytest.mark.parametrize("walking", [False, True])
async def test_an_index_serves_each_page(connection: asyncpg.Connection, *, walking: bool) -> None:
    """Of changes it is the one of transactions, whose rows are sorted one transaction's at a time."""
    for month in ("2018-04-01", "2018-05-01"):
        await connection.execute(
            f"CREATE TABLE month_{month[5:7]} PARTITION OF transactions"
            f" FOR VALUES FROM ('{month}') TO (date '{month}' + interval '1 month')"
        )
    for _ in range(10):
        await connection.execute(
            """
            INSERT INTO transactions
            SELECT gen_random_uuid(), gen_random_uuid(), 1, 'INR',
                   timestamptz '2018-04-01' + n % 400 * interval '3 h', 'paid',
                   '{"is_anomaly": false}' FROM generate_series(1, 1000) AS n
            """
        )
    await connection.execute("ANALYZE transactions")
    xid = await connection.fetchval("SELECT min(changed::text::bigint) FROM transactions")
    statement, values = changes_statement(ChangePlace(xid, walking=walking), 10)
    for mode in ("force_custom_plan", "force_generic_plan"):
        await connection.execute(f"SET plan_cache_mode = {mode}")
        [[plan]] = await connection.fetch(f"EXPLAIN (FORMAT JSON, ANALYZE) {statement}", *values)
        scans = [one for one in nodes(json.loads(plan)[0]["Plan"]) if "month" in one.get("Relation Name", "")]
        read = [one for one in scans if one["Actual Loops"]]
        assert read
        assert all("Index" in one["Node Type"] for one in read), plan
        looked_at = sum(one["Actual Rows"] + one.get("Rows Removed by Filter", 0) for one in read)
        assert looked_at <= (30 if walking else 1100), plan


def nodes(node: dict[str, Any]) -> Any:
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)
