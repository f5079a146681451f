import asyncio
import csv
import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import asyncpg
import psutil
import pytest

from api.reading.cursors import RowKey
from api.reading.database import Chunk, Database, _next_rows
from api.reading.export import preferred
from api.reading.statements import Filters
from api.settings import Settings
from infra.produce.exported import is_export
from infra.produce.files import first_lines
from infra.produce.order import in_order
from infra.produce.rows import ProducerRecord, RowReader
from schemas.transaction import Decoder
from tests.support.api_process import listening
from tests.support.postgres import locked
from tests.support.rows import FLAG, made, store, user
from tests.support.serving import PATIENCE, Client, serving, settings_from

ALICE, BOB = user(1), user(2)
JSON, LINES, CSV = "application/json", "application/x-ndjson", "text/csv"
PARQUET = "application/vnd.apache.parquet"
EVER = {"from_date": "0001-01-01"}
AWKWARD = {
    "quote": '"a", "b"',
    "line": "one\r\ntwo\u2028three\u2029four\x85",
    "\u00e9\\": [1.50, {"\U0001f600": None}],
    "s": "'; --",
}


async def exported(client: Client, media: str, path: str = "/transactions", **query: Any) -> str:
    async with client.get(path, params={**EVER, **query}, headers={"Accept": media}) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == media
        return await response.text()


async def in_pages(client: Client, path: str = "/transactions", **query: Any) -> list[Any]:
    async with client.get(path, params={**EVER, "limit": 1000, **query}) as response:
        rows: list[Any] = (await response.json())["transactions"]
        return rows


def of_lines(text: str) -> list[Any]:
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def of_csv(text: str) -> list[Any]:
    optional = ("merchant_id", "card_id", "country", "channel")
    heading = "id,user_id,amount,currency,txn_date,status,meta_data,merchant_id,card_id,country,channel\r\n"
    assert text.startswith(heading)
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    return [
        {name: cell for name, cell in row.items() if cell or name not in optional}
        | {"meta_data": json.loads(row["meta_data"])}
        for row in rows
    ]


@pytest.mark.parametrize("small", [False, True])
async def test_every_form_has_the_rows_of_the_pages(
    client: Client, database: str, monkeypatch: pytest.MonkeyPatch, *, small: bool
) -> None:
    if small:  # chunks without a line, of one, of some
        monkeypatch.setattr("api.reading.database._FIRST_ROWS", 1)
        monkeypatch.setattr("api.reading.database._MOST_ROWS", 7)
        monkeypatch.setattr("api.reading.database._CHUNK_BYTES", 1000)
    many = [
        made(
            owner,
            n,
            hundredths=n,
            after=timedelta(days=n % 7 * 30, microseconds=n),
            flag=FLAG if n % 2 else None,
            meta_data=AWKWARD,
            merchant_id=f'm "{n % 4}",' if n % 4 else None,
            country="IN" if n % 8 else None,
        )
        for n in range(40)
        for owner in (ALICE, BOB)
    ]
    await store(database, many)
    for path, query, count in (
        ("/transactions", {"user_id": ALICE}, 40),
        ("/transactions", {"user_id": ALICE, "limit": 9}, 9),
        ("/transactions", {"user_id": ALICE, "is_anomaly": "true"}, 20),
        ("/transactions", {"user_id": ALICE, "is_anomaly": "false", "limit": 3}, 3),
        ("/transactions", {"user_id": ALICE, "min_amount": "0.20", "max_amount": "0.21"}, 2),
        ("/transactions", {"user_id": ALICE, "to_date": "2018-05-15"}, 12),
        ("/anomalies", {}, 40),
        ("/anomalies", {"user_id": BOB}, 20),
        ("/anomalies", {"merchant_id": 'm "1",'}, 20),
        ("/transactions", {"user_id": ALICE, "merchant_id": 'm "2",', "country": "in"}, 10),
    ):
        expected = await in_pages(client, path, **query)
        assert len(expected) == count
        assert of_lines(await exported(client, LINES, path, **query)) == expected
        assert of_csv(await exported(client, CSV, path, **query)) == expected


@pytest.mark.parametrize("bom", ["true", "false"])
async def test_what_is_exported_can_be_produced_again(client: Client, database: str, bom: str) -> None:
    given = [
        made(
            ALICE,
            n,
            after=timedelta(hours=n),
            flag=FLAG if n % 2 else None,
            status=status,
            meta_data=AWKWARD,
            merchant_id=status if n else None,
            card_id=status,
            country="IN" if n % 2 else None,
            channel=status,
        )
        for n, status in enumerate(["paid", "=1+1", "'-2", "'tis", "new"])
    ]
    await store(database, given)
    for media, options in ((LINES, {}), (CSV, {"bom": bom})):
        async with client.get(
            "/transactions", params={**EVER, "user_id": ALICE, **options}, headers={"Accept": media}
        ) as response:
            head, lines = first_lines(io.BytesIO(await response.read()))
        assert is_export(head)
        again = [
            item
            for item in in_order(RowReader(exported=True).read(lines))
            if isinstance(item, ProducerRecord)
        ]
        sent = [Decoder().decode(record.value, record.key, -1) for record in again]
        assert sent == [one.txn for one in given]


async def test_an_export_is_all_of_the_range_unless_told_otherwise(client: Client, database: str) -> None:
    await store(database, [made(ALICE, n, hundredths=n, after=timedelta(hours=n)) for n in range(2500)])
    assert len(of_lines(await exported(client, LINES, user_id=ALICE))) == 2500
    some = of_lines(await exported(client, LINES, user_id=ALICE, min_amount="10", max_amount="10.09"))
    assert [row["amount"] for row in some] == [f"10.0{n}" for n in reversed(range(10))]
    async with client.get("/transactions", params={**EVER, "user_id": ALICE}) as response:
        cursor = (await response.json())["cursor"]
    rest = of_csv(await exported(client, CSV, user_id=ALICE, cursor=cursor, limit=3))
    assert [row["amount"] for row in rest] == ["23.99", "23.98", "23.97"]


FORMULAS = ("=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "''+1")
TEXTS = ("paid", "", "'tis", "a=b", '"=1')


async def test_no_spreadsheet_runs_a_text_and_a_program_has_it_back(client: Client, database: str) -> None:
    await store(database, [made(ALICE, n, status=text) for n, text in enumerate((*FORMULAS, *TEXTS))])
    given = {row["id"]: row["status"] for row in await in_pages(client, user_id=ALICE)}
    assert sorted(given.values()) == sorted((*FORMULAS, *TEXTS))
    safe = {row["id"]: row["status"] for row in of_csv(await exported(client, CSV, user_id=ALICE))}
    assert safe == {one: f"'{text}" if text in FORMULAS else text for one, text in given.items()}
    raw = of_csv(await exported(client, CSV, user_id=ALICE, escape="false"))
    assert {row["id"]: row["status"] for row in raw} == given


async def test_no_spreadsheet_runs_a_merchant_a_card_or_a_channel(client: Client, database: str) -> None:
    formula: dict[str, Any] = {"merchant_id": "=1", "card_id": "-1", "channel": "@a"}
    await store(database, [made(ALICE, **formula)])
    [safe] = of_csv(await exported(client, CSV, user_id=ALICE))
    assert {name: safe[name] for name in formula} == {name: f"'{text}" for name, text in formula.items()}
    [raw] = of_csv(await exported(client, CSV, user_id=ALICE, escape="false"))
    assert {name: raw[name] for name in formula} == formula


async def test_the_address_can_name_the_form_and_ask_for_excels_mark(client: Client, database: str) -> None:
    await store(database, [made(ALICE, n) for n in range(3)])
    query = {**EVER, "user_id": ALICE}
    for name, media in (("csv", CSV), ("ndjson", LINES), ("json", JSON)):
        for accept in ("*/*", JSON, CSV, "text/html"):
            async with client.get(
                "/transactions", params={**query, "format": name}, headers={"Accept": accept}
            ) as response:
                assert (response.status, response.content_type) == (200, media)
    for bom, start in (("true", b"\xef\xbb\xbfid,"), ("false", b"id,")):
        async with client.get("/transactions", params={**query, "format": "csv", "bom": bom}) as response:
            assert (await response.read()).startswith(start)


@pytest.mark.parametrize("media", ["application/ndjson", "application/jsonl", "application/x-jsonlines"])
async def test_lines_of_json_are_known_by_their_other_names(
    client: Client, database: str, media: str
) -> None:
    await store(database, [made(ALICE)])
    assert of_lines(await exported(client, media, user_id=ALICE)) == [made(ALICE).shown]


async def test_a_range_without_rows_is_an_export_without_lines(client: Client) -> None:
    assert of_lines(await exported(client, LINES, user_id=ALICE)) == []
    assert of_csv(await exported(client, CSV, user_id=ALICE)) == []


async def test_what_is_wrong_is_a_problem_in_every_form(client: Client) -> None:
    for media in (LINES, CSV):
        async with client.get("/transactions?limit=0", headers={"Accept": media}) as response:
            assert (response.status, response.content_type) == (422, "application/problem+json")


async def test_an_export_is_offered_as_a_file(client: Client) -> None:
    headers = {"Accept": CSV, "Origin": "https://a.example"}
    async with client.get("/anomalies", headers=headers) as response:
        assert response.headers["Content-Disposition"] == 'attachment; filename="anomalies.csv"'
        assert response.headers["Vary"] == "Accept, Origin"
        assert "Content-Disposition" in response.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("media", [LINES, CSV])
async def test_the_head_of_an_export_has_no_body(client: Client, database: str, media: str) -> None:
    """Its bytes would be taken for the next answer's."""
    await store(database, [made(ALICE)])
    url = client.make_url("/transactions")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    query = urlencode({"user_id": ALICE, **EVER})
    request = (
        f"HEAD {url.path}?{query} HTTP/1.1\r\nHost: localhost\r\nAccept: {media}\r\nConnection: close\r\n\r\n"
    )
    writer.write(request.encode())

    answer = await reader.read()
    writer.close()

    head, body = answer.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b""


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", JSON), ("", JSON), ("text/csv", CSV), ("TEXT/CSV; charset=utf-8", CSV), ("text/*", CSV),
        ("application/*", JSON), ("application/x-ndjson, */*;q=0.5", LINES), ("image/png", JSON),
        ("text/csv;q=0, */*;q=0.1", JSON), ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("application/json;q=0.2, text/csv;q=0.3", CSV), ("text/csv;q=nan", JSON), ("text/csv;q=x", JSON),
        (",;,q=1;;", JSON),
    ],
)  # fmt: skip
def test_the_form_is_the_one_that_is_wanted_most(accept: str, expected: str) -> None:
    assert preferred(accept, [JSON, LINES, CSV]) == expected


async def test_more_exports_than_are_let_in_are_told_when_to_come_back(
    pages_settings: Settings, database: str
) -> None:
    await fill(database, 100_000)
    query, headers = {"user_id": ALICE, **EVER}, {"Accept": LINES}
    async with serving(pages_settings, exports=1) as client:
        async with client.get("/transactions", params=query, headers=headers) as unread:
            assert unread.status == 200
            async with client.get("/transactions", params=query, headers=headers) as response:
                assert (response.status, response.content_type) == (503, "application/problem+json")
                assert int(response.headers["Retry-After"]) > 0
            async with client.get("/transactions", params=query) as response:
                assert response.status == 200
        async with asyncio.timeout(10):  # the client that left has given its place back
            while len(of_lines(await _whatever(client, query, headers))) != 100_000:  # noqa: ASYNC110 - the API's
                await asyncio.sleep(0.05)


async def _whatever(client: Client, query: dict[str, str], headers: dict[str, str]) -> str:
    async with client.get("/transactions", params=query, headers=headers) as response:
        return await response.text() if response.status == 200 else ""


@asynccontextmanager
async def begun(
    settings: Settings, database: str, *, query_seconds: float
) -> AsyncIterator[aiohttp.ClientResponse]:
    """An export of 200,000 rows that has answered and is not read yet."""
    await fill(database, 200_000)
    query, headers = {"user_id": ALICE, **EVER}, {"Accept": CSV}
    async with (
        serving(settings, query_seconds=query_seconds) as client,
        client.get("/transactions", params=query, headers=headers) as response,
    ):
        assert response.status == 200
        yield response


async def test_an_export_that_fails_midway_is_not_taken_for_the_whole(
    pages_settings: Settings, database: str
) -> None:
    async with (
        begun(pages_settings, database, query_seconds=1) as response,
        locked(database, "transactions"),
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_an_export_outlives_a_statement_that_took_too_long(
    pages_settings: Settings, database: str
) -> None:
    async with begun(pages_settings, database, query_seconds=2) as response:
        async with locked(database, "transactions") as locking:
            reading = asyncio.create_task(response.text())
            first = await waits_since(locking, unlike=None)
            await waits_since(locking, unlike=first)
        assert len(of_csv(await reading)) == 200_000


async def test_a_client_that_does_not_read_holds_nothing_in_postgres(
    pages_settings: Settings, database: str
) -> None:
    await fill(database, 200_000)
    query, headers = {"user_id": ALICE, **EVER}, {"Accept": CSV}
    async with (
        serving(pages_settings, database_connections=1) as client,
        client.get("/transactions", params=query, headers=headers) as unread,
    ):
        assert unread.status == 200
        async with client.get("/transactions", params=query) as response:
            assert response.status == 200
        async with locked(database, "transactions"):  # waits for a statement to end, and no longer
            pass
        assert len(of_csv(await unread.text())) == 200_000


async def test_rows_inserted_meanwhile_neither_repeat_nor_hide_others(
    pages_settings: Settings, database: str
) -> None:
    await fill(database, 200_000)
    query, headers = {"user_id": ALICE, **EVER}, {"Accept": LINES}
    async with serving(pages_settings) as client:
        before = [row["id"] for row in of_lines(await exported(client, LINES, user_id=ALICE))]
        assert len(set(before)) == 200_000
        async with client.get("/transactions", params=query, headers=headers) as response:
            await response.content.readline()
            await store(
                database, [made(ALICE, n, after=timedelta(minutes=n)) for n in range(0, 200_000, 500)]
            )
            after = [row["id"] for row in of_lines("{}\n" + await response.text())[1:]]
    assert len(set(after)) == len(after) > 200_000 - 1  # some of the new ones came later than the reader
    known = set(before)
    assert [one for one in after if one in known] == before[1:]


async def test_a_stretch_of_long_rows_is_no_larger_than_another(database: str) -> None:
    await fill(database, 100, note=60_000)
    async with Database(settings_from({"POSTGRES_URL": database}, database_connections=1)) as reads:
        chunks = [text async for text in reads.export("ndjson", Filters(user_id=ALICE), None, None)]
    assert max(len(text) for text in chunks) < (1 << 20) + 61_000
    assert len(of_lines(b"".join(chunks).decode())) == 100


@pytest.mark.parametrize(
    ("text", "seen", "seconds", "following"),
    [(b"", 1000, 0.1, 2000), (b"x" * (1 << 18), 1000, 0.1, 2000), (b"x" * (1 << 20), 40, 0.1, 41),
     (b"", 1000, 1.1, 250)],
)  # fmt: skip
def test_the_next_stretch_looks_at_what_should_fit_and_at_less_where_rows_come_slowly(
    text: bytes, seen: int, seconds: float, following: int
) -> None:
    chunk = Chunk(text, seen, seen, RowKey(datetime(2018, 4, 1, tzinfo=UTC), ALICE, ALICE))
    assert _next_rows(chunk, 1000, seconds) == following


async def waits_since(locking: asyncpg.Connection, *, unlike: datetime | None) -> datetime:
    """When the statement began that waits for the lock, once it is another one."""
    asked = (
        "SELECT query_start FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(PATIENCE):
        while (since := await locking.fetchval(asked)) in (None, unlike):
            await locking.execute("SELECT pg_stat_clear_snapshot()")
    assert isinstance(since, datetime)
    return since


async def fill(database: str, count: int, *, note: int = 100) -> None:
    """So many rows of Alice's, each with a note of so many letters."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(
            """
            INSERT INTO transactions
            SELECT gen_random_uuid(), $1::uuid, n % 1000, 'INR',
                   timestamptz '2018-04-01' + n * interval '1 minute', 'paid',
                   jsonb_build_object('is_anomaly', n % 100 = 0, 'note', repeat('x', $3))
            FROM generate_series(1, $2::integer) AS n
            """,
            ALICE,
            count,
            note,
        )
        await connection.execute("ANALYZE transactions")
    finally:
        await connection.close()


@asynccontextmanager
async def watching(process: psutil.Process) -> AsyncIterator[list[int]]:
    """The resident bytes of the process, seen again and again while inside."""
    seen = [process.memory_info().rss]

    async def watch() -> None:
        while True:
            seen.append(process.memory_info().rss)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        task.cancel()


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "note"), [(1_000_000, 100), (5000, 60_000)])
async def test_a_million_rows_or_long_ones_take_less_than_100_mb(
    environment: dict[str, str], database: str, tmp_path: Path, rows: int, note: int
) -> None:
    await fill(database, rows, note=note)
    async with listening(environment, tmp_path) as running, aiohttp.ClientSession(running.url) as session:
        of_nobody = {"user_id": BOB, "format": "parquet"}
        async with session.get("/transactions", params=of_nobody) as response:
            assert response.status == 200  # a connection is open, and everything loaded, the library too
            await response.read()
        process = psutil.Process(running.process.pid)
        for media, end in ((LINES, b"\n"), (CSV, b"\r\n"), (PARQUET, b"")):
            query, headers = {"user_id": ALICE, **EVER}, {"Accept": media}
            count = 0
            async with watching(process) as seen, session.get(
                "/transactions", params=query, headers=headers, timeout=aiohttp.ClientTimeout(250)
            ) as response:  # fmt: skip
                async for chunk in response.content.iter_any():
                    count += chunk.count(end[-1:]) if end else 0
            assert not end or count == rows + (media == CSV)
            growth = max(seen) - seen[0]
            sys.stdout.write(f"{media}: grew by {growth / 1e6:.1f} MB\n")
            assert growth < 100_000_000
