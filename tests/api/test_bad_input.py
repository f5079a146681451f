"""What must be refused: by the parameter's name, in one line of the log, whatever it is."""

import asyncio
import base64
import logging
from datetime import timedelta

import pytest
from pydantic import SecretStr
from yarl import URL

from api.settings import Settings
from tests.support.callers import address, routes
from tests.support.rows import FLAG, made, store, user
from tests.support.serving import Client, serving

ALICE, BOB = user(1), user(2)
DAY = "2018-04-01"


async def refused(client: Client, path: str, raw_query: str) -> list[str]:
    """The names of what is refused."""
    url = URL(f"{client.make_url(path)}?{raw_query}", encoded=True)
    async with client.session.get(url) as response:
        assert response.status == 422, (response.status, raw_query)
        assert response.content_type == "application/problem+json"
        return [error["parameter"] for error in (await response.json())["errors"]]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"), ("limit=-1", "limit"), ("limit=1000000000", "limit"), ("limit=1e2", "limit"),
        ("limit=", "limit"), ("limit=5&limit=5", "limit"), ("limit=5;drop%20table%20transactions", "limit"),
        ("from_date=0000-01-01", "from_date"), ("from_date=10000-01-01", "from_date"),
        ("to_date=%2B010000-01-01T00:00:00Z", "to_date"), ("to_date=2018-02-30", "to_date"),
        ("to_date=9999-12-31T23:59:59-01:00", "to_date"), ("from_date=infinity", "from_date"),
        ("from_date=2018-04-02&to_date=2018-04-01", "from_date"), ("from_date=now()", "from_date"),
        ("min_amount=NaN", "min_amount"), ("max_amount=Infinity", "max_amount"),
        ("min_amount=-0.01", "min_amount"), ("min_amount=1e400", "min_amount"),
        ("max_amount=0.001", "max_amount"),
        ("min_amount=1&min_amount=1", "min_amount"), ("min_amount=2&max_amount=1", "min_amount"),
        ("is_anomaly=2", "is_anomaly"), ("is_anomaly=", "is_anomaly"),
        ("cursor=%27%3B--", "cursor"), ("cursor=%00", "cursor"), ("cursor=" + "A" * 7000, "cursor"),
        ("format=xml", "format"), ("bom=", "bom"),
        ("merchant_id=", "merchant_id"), ("card_id=" + "x" * 65, "card_id"), ("channel=%00", "channel"),
        ("merchant_id=a%0Ab", "merchant_id"),
        ("channel=" + "x" * 33, "channel"), ("country=IND", "country"), ("country=I1", "country"),
        ("country=", "country"), ("merchant_id=a&merchant_id=a", "merchant_id"),
        ("color=red", "color"), ("%0d%0aX-Injected:1=1", "\r\nX-Injected:1"), ("LIMIT=5", "LIMIT"),
    ],
)  # fmt: skip
async def test_it_is_named_and_logged_in_one_line(
    client: Client, caplog: pytest.LogCaptureFixture, query: str, named: str
) -> None:
    caplog.set_level(logging.INFO)
    assert set(await refused(client, "/transactions", f"user_id={ALICE}&{query}")) == {named}
    [line] = [record for record in caplog.records if record.name == "api.web.middleware"]
    assert line.exc_info is None
    assert len(line.getMessage().splitlines()) == 1
    assert line.getMessage().isprintable()


@pytest.mark.parametrize(
    "user_id",
    [
        f"%7B{ALICE}%7D", ALICE.replace("-", ""), f"urn:uuid:{ALICE}", "%27%20OR%201=1%20--", f"{ALICE}%0a",
        "",
        "\u0661".encode().hex(), f"{ALICE}&user_id={ALICE}", f"{ALICE}&user_id={BOB}", "null",
    ],
)  # fmt: skip
async def test_a_user_is_one_uuid(client: Client, user_id: str) -> None:
    assert set(await refused(client, "/transactions", f"user_id={user_id}")) == {"user_id"}


async def test_no_bit_of_a_cursor_can_be_changed(client: Client, database: str) -> None:
    await store(database, [made(ALICE, n, after=timedelta(hours=n)) for n in range(3)])
    query = {"user_id": ALICE, "from_date": DAY, "limit": "2"}
    async with client.get("/transactions", params=query) as response:
        cursor = (await response.json())["cursor"]
    version, dot, sealed = cursor.partition(".")
    raw = base64.urlsafe_b64decode(sealed)
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        changed = version + dot + base64.urlsafe_b64encode(flipped).decode()
        assert await refused(client, "/transactions", _with(changed)) == ["cursor"]


async def test_no_part_of_a_cursor_is_one(client: Client, database: str) -> None:
    await store(database, [made(ALICE, n, after=timedelta(hours=n)) for n in range(3)])
    async with client.get(
        "/transactions", params={"user_id": ALICE, "from_date": DAY, "limit": 2}
    ) as response:
        cursor = (await response.json())["cursor"]
    parts = [cursor[:end] for end in range(1, len(cursor))]
    for other in (
        *parts,
        f"{cursor}A",
        f"{cursor}=",
        f"{cursor}====",
        cursor.lower(),
        cursor * 2,
        f"%20{cursor}",
    ):
        assert await refused(client, "/transactions", _with(other)) == ["cursor"]


async def test_a_cursor_of_another_place_is_none(pages_settings: Settings, database: str) -> None:
    await store(database, [made(one, 1, flag=FLAG) for one in (ALICE, BOB)])
    cursors: dict[str, str] = {}
    asked = {
        "bob": f"/transactions?user_id={BOB}&from_date={DAY}",
        "all": f"/anomalies?from_date={DAY}",
        "users": "/users?limit=1",
    }
    foreign = pages_settings.model_copy(update={"cursor_key": SecretStr("another key")})
    async with serving(pages_settings) as client, serving(foreign) as other:
        for name, path in asked.items():
            async with client.get(path) as response:
                cursors[name] = (await response.json())["cursor"]
        async with other.get(f"/transactions?user_id={ALICE}&from_date={DAY}") as response:
            cursors["foreign"] = (await response.json())["cursor"]
        for cursor in cursors.values():
            assert await refused(client, "/transactions", _with(cursor)) == ["cursor"]
        assert await refused(client, "/users", f"cursor={cursors['all']}") == ["cursor"]


def _with(cursor: str) -> str:
    return f"user_id={ALICE}&from_date={DAY}&cursor={cursor}"


@pytest.mark.parametrize(
    "last_id",
    [
        "nonsense", "0a1b2c3d.0-1%0d%0adata:%20x", "0a1b2c3d.0-1%0a%0aevent:%20gap", "0a1b2c3d.0-1.0-2",
        "Earliest", "0a1b2c3d.0--1", "0a1b2c3d.0-" + "9" * 30, "0a1b2c3d" + ".0-1" * 2000, "%00",
        "0a1b2c3d.0-1%20",
    ],
)  # fmt: skip
async def test_an_event_id_cannot_carry_anything_else(client: Client, last_id: str) -> None:
    for path in ("/sse/anomalies", f"/sse/transactions/{ALICE}"):
        assert await refused(client, path, f"last_event_id={last_id}") == ["last_event_id"]


async def test_what_is_wrong_with_a_header_is_told_by_its_name(client: Client) -> None:
    for last_id in ("x", "\u00e9\u00ff", "'; --"):
        async with client.get("/sse/anomalies", headers={"Last-Event-ID": last_id}) as response:
            assert response.status == 422
            assert [error["parameter"] for error in (await response.json())["errors"]] == ["Last-Event-ID"]


async def test_no_body_makes_a_route_fail(client: Client) -> None:
    bodies = (
        b"",
        b"\xff",
        b'{"name": "\xff"}',
        b"null",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'"\\ud800"',
        b"7",
    )
    tried = [route for route in routes(client) if "application/json" in route.takes]
    assert len(tried) > 7
    for route in tried:
        for body in bodies:
            headers = {"Content-Type": "application/json", "If-Match": '"0"'}
            async with client.request(route.method, address(route), data=body, headers=headers) as response:
                assert 400 <= response.status < 500, (route.operation_id, body[:20])


async def answered(client: Client, request: str, body: bytes = b"") -> bytes:
    """The first line of what comes back for a request's head, byte by byte, and its body."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    try:
        writer.write(request.encode("latin-1") + b"\r\n\r\n" + body)
        return await asyncio.wait_for(reader.readline(), 10)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("header", ["Authorization: Bearer \xff\xfe", "Cookie: txnwatch_session=\xff"])
async def test_no_bytes_of_a_secret_make_a_route_fail(pages_settings: Settings, header: str) -> None:
    async with serving(pages_settings, login="required") as client:
        for asked, status in (
            ("GET /users", 401), ("POST /session/ticket", 401), ("GET /session", 200),
            ("DELETE /session", 200), ("DELETE /sessions", 200),
        ):  # fmt: skip
            line = await answered(client, f"{asked} HTTP/1.1\r\nHost: localhost\r\n{header}")
            assert line.startswith(b"HTTP/1.1 %d" % status), asked


@pytest.mark.parametrize("packing", ["gzip", "deflate", "zstd"])
async def test_a_body_that_is_not_packed_as_it_says_is_refused(
    client: Client, caplog: pytest.LogCaptureFixture, packing: str
) -> None:
    head = "PUT /lists/blocked HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    line = await answered(client, f"{head}Content-Encoding: {packing}\r\nContent-Length: 6", b"abcdef")
    assert line.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_body_that_does_not_come_is_not_waited_for(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.web.body._SECONDS", 0.1)
    head = "POST /session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    line = await answered(client, f"{head}Content-Length: 100", b'{"name"')
    assert line.startswith(b"HTTP/1.1 408")
