import asyncio
import dataclasses
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace
from yarl import URL

from api.reading.cursors import RowKey
from api.reading.database import Database
from api.reading.statements import (
    Filters,
    chunk_statement,
    known_as_statement,
    page_statement,
    rows_statement,
)
from api.settings import Settings
from api.web.problems import Unavailable
from schemas.scored import encode_scored
from tests.support.postgres import hanging, locked
from tests.support.rows import FLAG, START, Made, made, store, user
from tests.support.serving import PATIENCE, Client, serving, settings_from

ALICE, BOB = user(1), user(2)
EVER = {"from_date": "2000-01-01"}


async def page(client: Client, path: str = "/transactions", **query: Any) -> tuple[list[Any], str]:
    async with client.get(path, params={**EVER, **query}) as response:
        assert response.status == 200, await response.text()
        body = await response.json()
    assert set(body) == {"transactions", "cursor"}
    return body["transactions"], body["cursor"]


async def pages(client: Client, path: str = "/transactions", **query: Any) -> AsyncIterator[list[Any]]:
    cursor = ""
    while True:
        rows, cursor = await page(client, path, cursor=cursor, **query)
        if not rows:
            assert cursor == ""
            return
        assert cursor
        yield rows


def newest_first(many: list[Made]) -> list[str]:
    ordered = sorted(many, key=lambda one: one.txn.id)
    return [one.txn.id for one in sorted(ordered, key=lambda one: one.txn.txn_date, reverse=True)]


def ids(rows: list[Any]) -> list[str]:
    return [row["id"] for row in rows]


async def test_a_row_is_what_the_topics_say_of_it(client: Client, database: str) -> None:
    odd = {"shop": 7, "é": "\U0001f600", "deep": [{"x": [1.5, None]}], "is_anomaly": "overridden"}
    many = [
        made(ALICE, 1, hundredths=0, meta_data=odd),
        made(ALICE, 2, hundredths=10**20 - 1, after=timedelta(microseconds=5), flag=FLAG, meta_data=odd),
        made(ALICE, 3, after=timedelta(seconds=31), merchant_id='"m"\\', country="IN"),
    ]
    await store(database, many)
    rows, _ = await page(client, user_id=ALICE)
    assert rows == [one.shown for one in reversed(many)]
    assert [row["txn_date"] for row in rows] == [
        "2018-04-01T00:00:31Z", "2018-04-01T00:00:00.000005Z", "2018-04-01T00:00:00Z"
    ]  # fmt: skip
    assert [row["amount"] for row in rows] == ["12.30", "999999999999999999.99", "0.00"]


async def test_pages_over_ties_bring_every_row_once(client: Client, database: str) -> None:
    many = [made(ALICE, number, after=timedelta(days=number // 10 * 20)) for number in range(47)]
    await store(database, [*many, *(made(BOB, number) for number in range(5))])
    got = [rows async for rows in pages(client, user_id=ALICE, limit=7)]
    assert [len(rows) for rows in got] == [7, 7, 7, 7, 7, 7, 5]
    assert [row["id"] for rows in got for row in rows] == newest_first(many)


@pytest.mark.parametrize("media", ["application/json", "application/x-ndjson"])
async def test_users_who_share_an_id_and_a_date_have_a_row_each(
    client: Client, database: str, media: str
) -> None:
    """A page that ends between the two legs of a transfer repeats neither, and leaves neither out."""
    legs = [replace(made(one, flag=FLAG).txn, id=user(99)) for one in map(user, range(7))]
    await store(database, [Made(leg, *encode_scored(leg, FLAG)) for leg in legs])
    got: list[str] = []
    async for rows in pages(client, "/anomalies", limit=2):
        got += [row["user_id"] for row in rows]
    async with client.get("/anomalies", params=EVER, headers={"Accept": media}) as response:
        text = await response.text()
    assert got == sorted(leg.user_id for leg in legs)
    assert sorted(got, key=text.index) == got


async def test_rows_inserted_meanwhile_neither_repeat_nor_hide_others(client: Client, database: str) -> None:
    rng = random.Random(7)
    many = [made(ALICE, number, after=timedelta(hours=rng.randrange(9))) for number in range(60)]
    await store(database, many)
    seen: list[str] = []
    added = 100
    async for rows in pages(client, user_id=ALICE, limit=9):
        seen += ids(rows)
        await store(database, [made(ALICE, added + n, after=timedelta(hours=n)) for n in range(9)])
        added += 9
    assert len(seen) == len(set(seen))
    before = [one for one in seen if one in set(newest_first(many))]
    assert before == newest_first(many)


async def test_a_cursor_stays_good_when_the_other_filters_change(client: Client, database: str) -> None:
    many = [made(ALICE, n, hundredths=100 * n, after=timedelta(hours=n // 3)) for n in range(30)]
    await store(database, many)
    first, cursor = await page(client, user_id=ALICE, limit=10)
    rest, _ = await page(
        client,
        user_id=ALICE,
        cursor=cursor,
        limit=1000,
        min_amount="5",
        max_amount="18.00",
        from_date=(START + timedelta(hours=2)).isoformat(),
        to_date=(START + timedelta(hours=9)).isoformat(),
    )
    left = [one for one in many if one.txn.id not in ids(first) and 500 <= one.txn.amount <= 1800]
    assert ids(rest) == newest_first([one for one in left if one.txn.txn_date >= START + timedelta(hours=2)])


async def test_both_ends_of_every_range_are_included(client: Client, database: str) -> None:
    many = [made(ALICE, n, hundredths=100 * n, after=timedelta(days=n)) for n in range(5)]
    await store(database, many)
    for query in (
        {"from_date": "2018-04-02T00:00:00Z", "to_date": "2018-04-04T00:00:00Z"},
        {"from_date": "2018-04-02", "to_date": "2018-04-04"},
        {"min_amount": "1", "max_amount": "3.00"},
    ):
        rows, _ = await page(client, user_id=ALICE, **query)
        assert [row["amount"] for row in rows] == ["3.00", "2.00", "1.00"]


async def test_flagged_rows_and_the_others_can_be_asked_for(client: Client, database: str) -> None:
    many = [made(ALICE, n, flag=FLAG if n % 3 == 0 else None, after=timedelta(hours=n)) for n in range(9)]
    await store(database, many)
    flagged, _ = await page(client, user_id=ALICE, is_anomaly="true")
    others, _ = await page(client, user_id=ALICE, is_anomaly="false")
    assert ids(flagged) == newest_first(many[::3])
    assert sorted(ids(flagged) + ids(others)) == sorted(newest_first(many))


async def test_merchants_cards_countries_and_channels_can_be_asked_for(client: Client, database: str) -> None:
    many = [
        made(
            ALICE,
            n,
            after=timedelta(hours=n),
            flag=FLAG if n % 2 else None,
            merchant_id=f"m-{n % 3}' OR 1=1",
            card_id="c-1" if n % 4 == 0 else None,
            country="IN" if n < 6 else "DE",
            channel="web" if n % 5 == 0 else "pos",
        )
        for n in range(12)
    ]
    await store(database, [*many, made(ALICE, 100)])
    queries: list[tuple[dict[str, Any], Sequence[int]]] = [
        ({"merchant_id": "m-1' OR 1=1"}, (10, 7, 4, 1)),
        ({"merchant_id": "M-1' OR 1=1"}, ()),
        ({"card_id": "c-1"}, (8, 4, 0)),
        ({"country": "in", "channel": "web"}, (5, 0)),
        ({"country": "DE", "merchant_id": "m-0' OR 1=1", "min_amount": "1"}, (9, 6)),
    ]
    for query, expected in queries:
        rows, _ = await page(client, user_id=ALICE, **query)
        assert rows == [many[n].shown for n in expected]
        flagged, _ = await page(client, "/anomalies", **{k: v for k, v in query.items() if k != "min_amount"})
        assert flagged == [many[n].shown for n in expected if n % 2]


async def test_statuses_currencies_and_the_beginnings_of_ids_can_be_asked_for(
    client: Client, database: str
) -> None:
    many = [
        made(
            ALICE,
            n,
            after=timedelta(hours=n),
            flag=FLAG if n % 2 else None,
            status="paid" if n % 3 else "new",
            currency="INR" if n < 6 else "EUR",
        )
        for n in range(9)
    ]
    await store(database, many)
    queries: list[tuple[dict[str, Any], Sequence[int]]] = [
        ({"status": "new"}, (6, 3, 0)),
        ({"status": "paid", "currency": "EUR"}, (8, 7)),
        ({"currency": "eur"}, ()),
        ({"id_prefix": many[5].txn.id}, (5,)),
        ({"id_prefix": many[5].txn.id[:12].upper(), "status": "paid"}, (5,)),
        ({"id_prefix": many[5].txn.id[:8], "status": "new"}, ()),
        ({"id_prefix": "", "status": "new"}, (6, 3, 0)),
    ]
    for query, expected in queries:
        rows, _ = await page(client, user_id=ALICE, **query)
        assert rows == [many[n].shown for n in expected]
        flagged, _ = await page(client, "/anomalies", **query)
        assert flagged == [many[n].shown for n in expected if n % 2]


@pytest.mark.parametrize("path", ["/transactions", "/anomalies"])
async def test_oldest_first_is_exactly_the_reverse(client: Client, database: str, path: str) -> None:
    many = [made(ALICE, n, flag=FLAG, after=timedelta(days=n // 4 * 20)) for n in range(23)]
    await store(database, many)
    ascending = [
        row async for rows in pages(client, path, user_id=ALICE, order="asc", limit=3) for row in rows
    ]
    assert ids(ascending) == newest_first(many)[::-1]
    lines = {"user_id": ALICE, "order": "asc", "format": "ndjson", **EVER}
    async with client.get(path, params=lines) as response:
        assert [json.loads(line) for line in (await response.text()).splitlines()] == ascending


async def test_a_kept_answer_is_of_its_order_alone(pages_settings: Settings, database: str) -> None:
    await store(database, [made(ALICE, n, after=timedelta(hours=n)) for n in range(3)])
    async with serving(pages_settings, query_cache_seconds=60) as client:
        newest, _ = await page(client, user_id=ALICE, order="desc")
        oldest, _ = await page(client, user_id=ALICE, order="asc")
    assert ids(oldest) == ids(newest)[::-1]


async def test_a_transaction_is_found_by_its_id(client: Client, database: str) -> None:
    many = [made(ALICE, n, flag=FLAG if n else None, country="IN") for n in range(2)]
    await store(database, many)
    for one in many:
        async with client.get(f"/transactions/{one.txn.id.upper()}") as response:
            assert await response.json() == one.shown
    for query in ({"user_id": BOB}, {"txn_date": "2018-04-02"}):
        async with client.get(f"/transactions/{many[0].txn.id}", params=query) as response:
            assert (response.status, response.content_type) == (404, "application/problem+json")


async def test_of_several_with_one_id_user_and_date_say_which(client: Client, database: str) -> None:
    legs = [replace(made(owner, after=timedelta(days=day)).txn, id=user(99)) for owner, day in
            ((ALICE, 0), (BOB, 0), (ALICE, 20))]  # fmt: skip
    many = [Made(leg, *encode_scored(leg, None)) for leg in legs]
    await store(database, many)
    async with client.get(f"/transactions/{user(99)}") as response:
        problem = await response.json()
        assert response.status == 422
    assert [one["parameter"] for one in problem["errors"]] == ["id"]
    assert len(problem["choices"]) == 3
    for choice in problem["choices"]:
        async with client.get(f"/transactions/{user(99)}", params=choice) as response:
            found = await response.json()
            assert {name: found[name] for name in choice} == choice
    async with client.get(f"/transactions/{user(99)}", params={"user_id": BOB}) as response:
        assert await response.json() == many[1].shown


async def test_a_transaction_has_the_newest_of_its_labels(client: Client, database: str) -> None:
    await store(database, [made(ALICE, n) for n in range(2)])
    path = f"/transactions/{made(ALICE).txn.id}"
    for label in ("fraud", "legitimate"):
        async with client.post(f"{path}/label", json={"label": label}) as response:
            assert response.status == 200, await response.text()
        async with client.get(path) as response:
            assert await response.json() == {**made(ALICE).shown, "label": label}
    async with client.get(f"/transactions/{made(ALICE, 1).txn.id}") as response:
        assert "label" not in await response.json()


async def test_a_kept_answer_is_of_its_merchant_alone(pages_settings: Settings, database: str) -> None:
    await store(database, [made(ALICE, n, merchant_id=f"m-{n}") for n in range(2)])
    async with serving(pages_settings, query_cache_seconds=60) as client:
        for _ in range(2):
            for n in range(2):
                rows, _ = await page(client, user_id=ALICE, merchant_id=f"m-{n}")
                assert [row["merchant_id"] for row in rows] == [f"m-{n}"]


async def test_without_dates_it_is_the_last_30_days_and_what_is_dated_ahead(
    pages_settings: Settings, database: str
) -> None:
    today = START + timedelta(days=100, hours=7, seconds=59)
    ages = {1: -1, 2: 0, 3: 29.9, 4: 30.1}
    many = {n: made(ALICE, n, after=today - START - timedelta(days=age)) for n, age in ages.items()}
    await store(database, many.values())
    async with serving(pages_settings, clock=lambda: today) as client:
        rows, _ = await page(client, user_id=ALICE)
        assert len(rows) == 4
        async with client.get("/transactions", params={"user_id": ALICE}) as response:
            assert ids((await response.json())["transactions"]) == [many[n].txn.id for n in (1, 2, 3)]


async def test_with_an_end_alone_the_30_days_are_those_before_it(client: Client, database: str) -> None:
    await store(database, [made(ALICE, n, after=timedelta(days=n)) for n in range(0, 90, 10)])
    async with client.get("/transactions", params={"user_id": ALICE, "to_date": "2018-05-21"}) as response:
        rows = (await response.json())["transactions"]
    assert [row["txn_date"][:10] for row in rows] == ["2018-05-21", "2018-05-11", "2018-05-01"]


async def test_the_first_days_there_are_can_be_the_end(client: Client) -> None:
    async with client.get("/transactions", params={"user_id": ALICE, "to_date": "0001-01-02"}) as response:
        assert await response.json() == {"transactions": [], "cursor": ""}


@pytest.mark.parametrize("path", ["/transactions", "/anomalies"])
async def test_another_users_cursor_is_refused_by_name(client: Client, database: str, path: str) -> None:
    await store(database, [made(ALICE, 1, flag=FLAG)])
    _, cursor = await page(client, path, user_id=ALICE)
    for wrong in ({"user_id": BOB, "cursor": cursor}, {"user_id": ALICE, "cursor": cursor[:-1] + "!"}):
        async with client.get(path, params=wrong) as response:
            assert response.status == 422
            assert [error["parameter"] for error in (await response.json())["errors"]] == ["cursor"]


async def test_anomalies_are_the_flagged_rows_of_all_users(client: Client, database: str) -> None:
    many = [
        made(owner, n, after=timedelta(days=n % 4 * 9), flag=FLAG if n % 2 else None)
        for n in range(20)
        for owner in (ALICE, BOB)
    ]
    await store(database, many)
    flagged = [one for one in many if one.shown["meta_data"]["is_anomaly"]]
    got = [row async for rows in pages(client, "/anomalies", limit=3) for row in rows]
    assert ids(got) == newest_first(flagged)
    mine = [row async for rows in pages(client, "/anomalies", limit=3, user_id=BOB) for row in rows]
    assert ids(mine) == newest_first([one for one in flagged if one.txn.user_id == BOB])


async def test_the_link_leads_through_all_pages_and_ends(client: Client, database: str) -> None:
    many = [made(ALICE, n, hundredths=100 * n, after=timedelta(hours=n // 4)) for n in range(30)]
    await store(database, many)
    url = client.make_url("/transactions").with_query(
        {"user_id": ALICE, "limit": "7", "from_date": "2018-01-01T00:00:00+05:30", "min_amount": "1"}
    )
    got, seen = [], 0
    while True:
        async with client.session.get(url) as response:
            assert response.status == 200
            got += ids((await response.json())["transactions"])
            seen += 1
            if "next" not in response.links:
                break
            url = URL(response.links["next"]["url"])
            assert "Link" in response.headers["Access-Control-Expose-Headers"]
    assert got == newest_first(many[1:])
    assert seen == 5


async def test_a_kept_page_has_its_link_too(pages_settings: Settings, database: str) -> None:
    await store(database, [made(ALICE, n, after=timedelta(hours=n)) for n in range(4)])
    async with serving(pages_settings, query_cache_seconds=60) as client:
        query = {**EVER, "user_id": ALICE, "limit": "2"}
        links = []
        for _ in range(2):
            async with client.get("/transactions", params=query) as response:
                links.append(response.headers["Link"])
        assert links[0] == links[1]
        async with client.get("/transactions", params={**query, "limit": "100"}) as response:
            assert "Link" not in response.headers


async def test_the_first_and_the_last_moment_are_moments_like_others(client: Client, database: str) -> None:
    first, last = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"
    connection = await asyncpg.connect(database)
    try:
        for number, moment in enumerate([first] * 3 + [last] * 3):
            await connection.execute(
                "INSERT INTO transactions VALUES ($1, $2, 1, 'INR', $3::text::timestamptz, 'paid', '{}')",
                str(uuid.UUID(int=number)), ALICE, moment,
            )  # fmt: skip
    finally:
        await connection.close()
    whole: dict[str, Any] = {"user_id": ALICE, "from_date": first, "to_date": last, "limit": 1}
    rows = [row async for rows in pages(client, **whole) for row in rows]
    assert [row["txn_date"] for row in rows] == [last] * 3 + [first] * 3
    assert [uuid.UUID(row["id"]).int for row in rows] == [3, 4, 5, 0, 1, 2]
    for moment in (first, last):
        found, _ = await page(client, user_id=ALICE, from_date=moment, to_date=moment)
        assert [row["txn_date"] for row in found] == [moment] * 3


@pytest.mark.parametrize("moment", ["00", "00.000001", "00.1", "00.500000", "59.999999", "59.999500"])
async def test_a_time_is_spelled_as_the_worker_does(client: Client, database: str, moment: str) -> None:
    when = datetime.fromisoformat(
        f"2018-04-01T00:00:{moment.ljust(9, '0') if '.' in moment else moment}+00:00"
    )
    one = made(ALICE, after=when - START)
    await store(database, [one])
    async with client.get("/transactions", params={**EVER, "user_id": ALICE}) as response:
        assert f'"txn_date":"{one.shown["txn_date"]}"' in await response.text()


# --- The plans -------------------------------------------------------------------------------

SEVENTH = "00000000-0000-0000-0000-000000000007"
SOME_DAYS: dict[str, Any] = {"from_date": START + timedelta(days=9), "to_date": START + timedelta(days=40)}


@pytest.fixture
async def many_rows(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a table large enough for plans to matter, in months of their own."""
    connection = await asyncpg.connect(database)
    try:
        for month in ("2018-04-01", "2018-05-01"):
            await connection.execute(
                f"CREATE TABLE month_{month[5:7]} PARTITION OF transactions"  # ours
                f" FOR VALUES FROM ('{month}') TO (date '{month}' + interval '1 month')"
            )
        await connection.execute(
            """
            INSERT INTO transactions
            SELECT gen_random_uuid(), ('00000000-0000-0000-0000-' || lpad((n % 50)::text, 12, '0'))::uuid,
                   n % 1000, 'INR', timestamptz '2018-04-01' + n % 400 * interval '3 hours', 'paid',
                   jsonb_build_object('is_anomaly', n % 100 = 0), 'm-' || n % 2, 'c-' || n % 2, 'IN', 'web'
            FROM generate_series(1, 20000) AS n
            """
        )
        await connection.execute("ANALYZE transactions")
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (Filters(user_id=SEVENTH), "user_id_txn_date_id_idx"),
        (Filters(user_id=SEVENTH, **SOME_DAYS), "user_id_txn_date_id_idx"),
        (Filters(is_anomaly=True), "txn_date_id_user_id_idx"),
        (Filters(is_anomaly=True, **SOME_DAYS), "txn_date_id_user_id_idx"),
        (Filters(user_id=SEVENTH, ascending=True, **SOME_DAYS), "user_id_txn_date_id_idx"),
        (Filters(is_anomaly=True, ascending=True), "txn_date_id_user_id_idx"),
    ],
)
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_an_index_serves_each_page_without_a_sort(
    many_rows: asyncpg.Connection, filters: Filters, index: str, mode: str, *, after: bool
) -> None:
    scans, plan = await _index_scans(many_rows, filters, mode, after=after)
    assert all(index in node["Index Name"] or "default" in node["Index Name"] for node in scans), plan
    # It starts at the date of the position: what it read over is no more than the 21 ties up to there.
    assert sum(node.get("Rows Removed by Filter", 0) for node in scans) <= 21, plan


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "filters",
    [
        Filters(user_id=SEVENTH, min_amount=Decimal(500)),
        Filters(user_id=SEVENTH, is_anomaly=False),
        Filters(user_id=SEVENTH, min_amount=Decimal(500), max_amount=Decimal(900), is_anomaly=False),
        Filters(user_id=SEVENTH, min_amount=Decimal(500), **SOME_DAYS),
        Filters(user_id=SEVENTH, merchant_id="m-1"),
        Filters(user_id=SEVENTH, country="IN", channel="web", **SOME_DAYS),
        Filters(user_id=SEVENTH, status="paid", ascending=True),
        Filters(is_anomaly=True, currency="INR"),
        Filters(is_anomaly=True, card_id="c-0"),
    ],
)
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_other_filter_makes_it_a_sort(
    many_rows: asyncpg.Connection, filters: Filters, mode: str, *, after: bool
) -> None:
    await _index_scans(many_rows, filters, mode, after=after)


async def _index_scans(
    many_rows: asyncpg.Connection, filters: Filters, mode: str, *, after: bool
) -> tuple[list[dict[str, Any]], str]:
    """The scans of a page, which are all of indexes and need no sort, and its plan."""
    everything, values = rows_statement("t.txn_date, t.id::text, t.user_id::text", filters, None, 40)
    rows = await many_rows.fetch(everything, *values)
    position = RowKey(*rows[20]) if after else None
    statement, values = page_statement(filters, position, 10)
    plan = await _plan(many_rows, mode, statement, values)
    nodes = list(_nodes(json.loads(plan)[0]["Plan"]))
    assert not [node["Node Type"] for node in nodes if "Sort" in node["Node Type"]], plan
    scans = [node for node in nodes if "Scan" in node["Node Type"]]
    assert scans
    assert all(node["Node Type"] == "Index Scan" for node in scans), plan
    return scans, plan


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("filters", [Filters(user_id=SEVENTH), Filters(is_anomaly=True)])
async def test_the_beginning_of_an_id_is_looked_for_in_an_index(
    many_rows: asyncpg.Connection, filters: Filters, mode: str
) -> None:
    one = await many_rows.fetchval("SELECT id::text FROM transactions LIMIT 1")
    wanted = dataclasses.replace(filters, id_prefix=(one, one))
    for statement, values in (page_statement(wanted, None, 10), known_as_statement(one, None, None, 10)):
        plan = await _plan(many_rows, mode, statement, values)
        await many_rows.execute("DEALLOCATE explained")
        scans = [node for node in _nodes(json.loads(plan)[0]["Plan"]) if "Relation Name" in node]
        assert all("Index" in node["Node Type"] for node in scans if "month" in node["Relation Name"]), plan


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_users_flagged_rows_are_read_without_the_others(
    many_rows: asyncpg.Connection, mode: str
) -> None:
    filters = Filters(user_id="00000000-0000-0000-0000-000000000000", is_anomaly=True)
    statement, values = page_statement(filters, None, 10)
    plan = await _plan(many_rows, mode, statement, values)
    scans = [node for node in _nodes(json.loads(plan)[0]["Plan"]) if node.get("Actual Rows")]
    assert [node["Index Name"] for node in scans if "Index Name" in node], plan
    assert not any(node.get("Rows Removed by Filter") for node in scans), plan


@pytest.mark.parametrize(
    "filters",
    [
        Filters(user_id=SEVENTH, min_amount=Decimal(10_000)),
        Filters(is_anomaly=True, min_amount=Decimal(10_000)),
        Filters(user_id=SEVENTH, merchant_id="m-0"),
        Filters(is_anomaly=True, country="DE"),
    ],
)
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_an_export_looks_at_few_rows_at_a_time_however_rare_those_that_are_wanted(
    many_rows: asyncpg.Connection, filters: Filters, mode: str
) -> None:
    statement, values = chunk_statement("csv", filters, None, rows=30, limit=1, most_bytes=1000)
    plan = await _plan(many_rows, mode, statement, values)
    nodes = list(_nodes(json.loads(plan)[0]["Plan"]))
    assert not [node["Node Type"] for node in nodes if "Sort" in node["Node Type"]], plan
    scans = [node for node in nodes if "Scan" in node["Node Type"] and "Relation Name" in node]
    assert all(node["Node Type"] == "Index Scan" for node in scans), plan
    looked_at = sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in scans)
    assert 30 <= looked_at <= 30 + len(scans), plan  # and one of each partition, to merge them


async def test_the_statement_of_a_page_is_prepared_once(database: str) -> None:
    many = [made(ALICE, n, after=timedelta(hours=n)) for n in range(10)]
    await store(database, many)
    filters = Filters(user_id=ALICE, from_date=START)
    after: RowKey | None = None
    async with Database(settings_from({"POSTGRES_URL": database}, database_connections=1)) as reads:
        for one in reversed(many):
            after = (await reads.page(filters, after, 1)).last
            assert after == RowKey(one.txn.txn_date, one.txn.id, ALICE)
        first, later = (page_statement(filters, at, 1)[0] for at in (None, after))
        prepared = await reads._fetch(  # noqa: SLF001 - a session sees its own alone
            "SELECT statement, generic_plans + custom_plans FROM pg_prepared_statements"
            " WHERE statement = ANY($1) ORDER BY prepare_time",
            [[first, later]],
        )
    assert [tuple(one) for one in prepared] == [(first, 1), (later, 9)]


async def _plan(connection: asyncpg.Connection, mode: str, statement: str, values: Sequence[Any]) -> str:
    """How the prepared statement runs; what is bound to an EXPLAIN would be known to its plan in any mode."""
    await connection.execute(f"SET plan_cache_mode = {mode}")
    await connection.execute(f"PREPARE explained AS {statement}")
    bound = ", ".join([f"'{value}'" for value in values])
    [[plan]] = await connection.fetch(f"EXPLAIN (FORMAT JSON, ANALYZE) EXECUTE explained ({bound})")
    [[generic]] = await connection.fetch("SELECT generic_plans FROM pg_prepared_statements WHERE from_sql")
    assert generic == (mode == "force_generic_plan")
    return str(plan)


def _nodes(node: dict[str, Any]) -> Any:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


async def test_a_query_that_takes_too_long_is_given_up_and_told_as_such(
    pages_settings: Settings, database: str
) -> None:
    await store(database, [made(ALICE)])
    # Of Postgres's own accord: a connection that it no longer answers on is given up after 30 s.
    settings: dict[str, Any] = {"query_seconds": 0.2, "dependency_seconds": 30, "query_cache_seconds": 0}
    async with serving(pages_settings, **settings) as client:
        async with locked(database, "transactions", "users"):
            asked = (f"/transactions?user_id={ALICE}", "*/*"), ("/anomalies", "text/csv"), ("/users", "*/*")
            for path, accept in asked:
                async with client.get(path, headers={"Accept": accept}) as response:
                    assert (response.status, response.content_type) == (503, "application/problem+json")
                    assert int(response.headers["Retry-After"]) > 0
                    assert (await response.json())["detail"] == "The query took too long."
        # On a busy machine 0.2 s may be too little also without the lock, so it is asked until it answers.
        async with asyncio.timeout(PATIENCE):
            while not (rows := await _answered(client)):
                pass
    assert len(rows) == 1


async def _answered(client: Client) -> list[Any]:
    """Alice's rows, or none while the query takes too long."""
    async with client.get("/transactions", params={"user_id": ALICE, **EVER}) as response:
        assert response.status in (200, 503), await response.text()
        return list((await response.json()).get("transactions", []))


async def test_the_limit_of_a_query_holds_while_postgres_hangs(
    pages_settings: Settings, database: str
) -> None:
    path = f"/transactions?user_id={ALICE}"
    async with serving(pages_settings, query_seconds=1, query_cache_seconds=0) as client:
        async with client.get(path) as response:  # a connection is open
            assert response.status == 200
        async with hanging(database, "txnwatch-api"):
            began = time.monotonic()
            async with client.get(path) as response:
                assert (response.status, response.content_type) == (503, "application/problem+json")
            assert (
                time.monotonic() - began < pages_settings.dependency_seconds
            )  # which would end it otherwise
        async with asyncio.timeout(PATIENCE):
            while (await _answered(client)) != []:
                pass


async def test_the_api_cannot_write(database: str) -> None:
    await store(database, [made(ALICE)])
    reads = Database(settings_from({"POSTGRES_URL": database}, database_connections=1))
    async with reads:
        with pytest.raises(Unavailable) as refused:
            await reads._fetch("DELETE FROM transactions", [])  # noqa: SLF001 - no method would try
    assert isinstance(refused.value.__cause__, asyncpg.ReadOnlySQLTransactionError)
