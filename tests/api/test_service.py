import asyncio
import logging
import time
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr
from yarl import URL

from api.settings import Settings
from tests.support.rows import user
from tests.support.services import empty_database
from tests.support.serving import DEAD, Client, changed, serving

ALICE = user(1)


def without(settings: Settings, *dependencies: str) -> Settings:
    dead: dict[str, Any] = {
        "kafka": DEAD,
        "postgres": SecretStr(f"postgresql://someone:hidden-word@{DEAD}/txnwatch"),
        "redis": SecretStr(f"redis://:hidden-word@{DEAD}/0"),
    }
    return changed(settings, **{name: dead[name] for name in dependencies})


async def test_it_is_ready_when_everything_answers(settings: Settings) -> None:
    async with serving(settings) as client, client.get("/ready") as response:
        assert response.status == 200
        assert await response.json() == {
            "ready": True,
            "dependencies": {name: {"state": "up"} for name in ("postgres", "kafka", "redis")},
        }


async def test_it_starts_and_lives_while_everything_is_away(settings: Settings) -> None:
    began = time.monotonic()
    async with serving(without(settings, "kafka", "postgres", "redis")) as client:
        async with client.get("/health") as response:
            assert (response.status, await response.json()) == (200, {"health": "ok"})
        async with client.get("/ready") as response:
            assert response.status == 503
            assert response.content_type == "application/problem+json"
            body = await response.json()
        assert body["ready"] is False
        assert {name: state["state"] for name, state in body["dependencies"].items()} == {
            "postgres": "down", "kafka": "down", "redis": "down"
        }  # fmt: skip
        for path in (f"/transactions?user_id={ALICE}", "/users"):
            async with client.get(path) as response:
                assert (response.status, response.content_type) == (503, "application/problem+json")
                assert int(response.headers["Retry-After"]) > 0
        for path in (f"/sse/transactions/{ALICE}", "/sse/anomalies"):
            async with client.get(path) as response:
                assert (response.status, response.content_type) == (200, "text/event-stream")
                assert (await response.text()).startswith(": unavailable\nretry: ")
    assert time.monotonic() - began < 15


async def test_it_is_told_in_time_that_nothing_answers(settings: Settings) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    hanging = await asyncio.start_server(swallow, "127.0.0.1", 0)
    host, port = hanging.sockets[0].getsockname()
    deaf = changed(
        settings,
        kafka=f"{host}:{port}",
        postgres=SecretStr(f"postgresql://{host}:{port}/txnwatch"),
        redis=SecretStr(f"redis://{host}:{port}"),
        dependency_seconds=0.3,
    )
    async with hanging, serving(deaf) as client:
        for _ in range(3):
            began = time.monotonic()
            async with client.get("/ready") as response:
                assert response.status == 503
                states = [one["state"] for one in (await response.json())["dependencies"].values()]
                assert states == ["down", "down", "down"]
            assert time.monotonic() - began < 5  # by themselves their clients would wait 10 s and more


@pytest.mark.parametrize(("down", "status"), [("kafka", 503), ("postgres", 503), ("redis", 200)])
async def test_redis_alone_is_not_needed_to_be_ready(settings: Settings, down: str, status: int) -> None:
    async with serving(without(settings, down)) as client:
        async with client.get("/ready") as response:
            assert response.status == status
            found = (await response.json())["dependencies"]
        assert {name: one["state"] for name, one in found.items()} == {
            name: "down" if name == down else "up" for name in found
        }
        assert [name for name, one in found.items() if "since" in one] == [down]
        assert found[down].get("needed", True) is (down != "redis")
        async with client.get("/metrics") as response:
            metrics = await response.text()
    for name in found:
        assert f'txnwatch_dependency_up{{dependency="{name}"}} {float(name != down)}' in metrics


async def test_topics_and_tables_that_are_not_there_are_named(settings: Settings, services: Any) -> None:
    async with empty_database(services.postgres) as url:
        await _names_what_is_missing(changed(settings, anomalies_topic="never-made", postgres=SecretStr(url)))


async def _names_what_is_missing(settings: Settings) -> None:
    async with serving(settings) as client:
        async with client.get("/ready") as response:
            details = {
                name: one.get("detail") for name, one in (await response.json())["dependencies"].items()
            }
        assert "txnwatch topics" in details["kafka"]
        assert "txnwatch migrate" in details["postgres"]
        async with client.get(f"/transactions?user_id={ALICE}") as response:
            assert response.status == 503
            assert "txnwatch migrate" in (await response.json())["detail"]


async def test_no_password_is_logged_or_told(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bad = without(settings, "kafka", "postgres", "redis")
    async with serving(bad) as client:
        for path in ("/ready", "/users", f"/users/{ALICE}/stats", "/metrics"):
            async with client.get(path) as response:
                assert "hidden-word" not in await response.text()
    assert "hidden-word" not in caplog.text + repr(bad)


async def test_a_failed_request_is_one_line(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for path in ("/users?limit=0", f"/users/{ALICE}/stats?ticket=hidden"):
        async with client.get(path):
            pass
    lines = [record.getMessage() for record in caplog.records if record.name == "api.web.middleware"]
    assert lines == [
        "GET /users?limit: 422 limit must be a whole number from … to …",
        "GET /users/{user_id}/stats?ticket: 404 There is no window of this user.",
    ]


# --- Problems --------------------------------------------------------------------------------


ERRORS = [
    ("GET", "/nowhere", 404),
    ("GET", "/docs/../../etc/passwd", 404),
    ("GET", "/docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
    ("POST", "/users", 405),
    ("DELETE", "/transactions", 405),
    ("HEAD", "/sse/anomalies", 405),
    ("GET", "/transactions", 422),
    ("GET", "/health?x", 422),
]


async def test_every_error_is_a_problem_of_one_shape(client: Client) -> None:
    for method, path, status in ERRORS:
        async with client.request(method, path) as response:
            assert (response.status, response.content_type) == (status, "application/problem+json")
            assert ("GET" in response.headers.get("Allow", "")) == (status == 405)
            if method != "HEAD":
                body = await response.json()
                assert set(body) == {"type", "title", "status", "detail", "errors"}
                assert body["status"] == status
                assert bool(body["errors"]) == (status == 422)


NONSENSE = [
        "user_id=%00", "user_id=%ff%fe", "user_id=%ed%a0%80", "user_id=%zz", "user_id[]=1", "%00=%00", "=",
        "&&&", "%",
        f"user_id={ALICE}&limit=1000000000", f"user_id={ALICE}&limit=%F0%9F%98%80",
        f"user_id={ALICE}&cursor=%0d%0a",
        f"user_id={ALICE}&cursor=" + "A" * 7000, f"user_id={ALICE}&from_date=99999-01-01",
        f"user_id={ALICE}&min_amount=" + "9" * 4000, f"user_id={ALICE};drop table", "user_id=' OR 1=1 --",
    ]  # fmt: skip


async def test_nonsense_is_refused_by_name_and_never_an_error_of_ours(client: Client) -> None:
    for path in ("/transactions", "/anomalies"):
        for query in NONSENSE:
            url = URL(str(client.make_url(path)) + "?" + query.replace(" ", "%20"), encoded=True)
            async with client.session.get(url) as response:
                assert response.status == (200 if path == "/anomalies" and query == "&&&" else 422), query
                assert b"Traceback" not in await response.read()


async def test_a_malformed_last_event_id_is_refused_by_name(client: Client) -> None:
    for last_id in ("nonsense", "0a1b2c3d.0-", "\u00e9", "0a1b2c3d.0-1" * 500):
        await _is_refused(client, last_id)


async def _is_refused(client: Client, last_id: str) -> None:
    async with client.get("/sse/anomalies", headers={"Last-Event-ID": last_id}) as response:
        assert response.status == 422
        assert [error["parameter"] for error in (await response.json())["errors"]] == ["Last-Event-ID"]
    async with client.get("/sse/anomalies", params={"last_event_id": last_id}) as response:
        assert response.status == 422
        assert [error["parameter"] for error in (await response.json())["errors"]] == ["last_event_id"]


async def test_what_nobody_foresaw_is_logged_whole_and_told_in_one_sentence(
    pages_settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def failing(*_: object, **__: object) -> web.Response:
        raise RuntimeError("hidden-word")

    monkeypatch.setattr("api.reading.database.Database.users", failing)
    caplog.set_level(logging.INFO)
    async with serving(pages_settings) as client:
        async with client.get("/users") as response:
            assert (response.status, response.content_type) == (500, "application/problem+json")
            assert "hidden-word" not in str(response.headers) + await response.text()
            body = await response.json()
        assert (body["status"], body["title"], body["errors"]) == (500, "Internal Server Error", [])
        async with client.get("/health") as response:
            assert response.status == 200
        async with client.get("/metrics") as response:
            counted = 'txnwatch_api_requests_total{method="GET",route="/users",status="500"} 1.0'
            assert counted in await response.text()
    [record] = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert (record.name, record.levelname, record.getMessage()) == (
        "api.web.middleware",
        "ERROR",
        "GET /users failed",
    )
    assert record.exc_text is not None
    assert "Traceback" in record.exc_text
    assert "RuntimeError: hidden-word" in record.exc_text


# --- CORS ------------------------------------------------------------------------------------


async def test_every_page_of_this_machine_may_read_and_no_other(settings: Settings) -> None:
    asked = {"/health": 200, "/nowhere": 404, "/users?limit=0": 422, "/sse/anomalies": 200}
    near = ("http://localhost:5173", "http://127.0.0.1:8080", "https://[::1]", "http://127.0.0.2")
    far = (
        "https://a.example",
        "http://localhost.example",
        "http://a.example:80@localhost.example",
        "null",
        "http://[",
    )
    async with serving(settings) as client:
        for path, status in asked.items():
            for origin in near + far:
                async with client.get(path, headers={"Origin": origin}) as response:
                    assert response.status == status
                    allowed = response.headers.get("Access-Control-Allow-Origin")
                    assert allowed == (origin if origin in near else None)
                    assert "Access-Control-Allow-Credentials" not in response.headers
                    assert response.headers["Vary"] == "Origin"


async def test_every_page_may_read_where_that_is_said(settings: Settings) -> None:
    async with (
        serving(settings, cors_origins="*") as client,
        client.get("/health", headers={"Origin": "https://a.example"}) as response,
    ):
        assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_named_origins_alone_may_read(settings: Settings) -> None:
    async with serving(settings, cors_origins="https://a.example, https://b.example") as client:
        for origin, allowed in {"https://b.example": "https://b.example", "https://c.example": None}.items():
            async with client.get("/health", headers={"Origin": origin}) as response:
                assert response.headers.get("Access-Control-Allow-Origin") == allowed
                assert response.headers["Vary"] == "Origin"


async def test_a_page_of_a_named_origin_may_send_what_it_likes(settings: Settings) -> None:
    sent = "authorization,if-none-match,last-event-id,traceparent"
    asks = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": sent}
    expected = {
        "https://a.example": ("https://a.example", "true"),
        "https://c.example": ("*", None),
    }
    async with serving(settings, cors_origins="https://a.example, *") as client:
        for origin, allowed in expected.items():
            for method in ("OPTIONS", "GET"):
                async with client.request(
                    method, "/sse/anomalies", headers={**asks, "Origin": origin}
                ) as response:
                    names = ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials")
                    assert tuple(response.headers.get(name) for name in names) == allowed
                    assert response.headers["Vary"] == "Origin"
                    if method == "OPTIONS":
                        assert response.headers["Access-Control-Allow-Headers"] == sent


async def test_a_preflight_is_answered_where_there_is_a_page(client: Client) -> None:
    asks = {
        "Origin": "http://localhost:5173",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "last-event-id",
    }
    async with client.options("/sse/anomalies", headers=asks) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
        assert "GET" in response.headers["Access-Control-Allow-Methods"]
        assert "last-event-id" in response.headers["Access-Control-Allow-Headers"]
    async with client.options("/nowhere", headers=asks) as response:
        assert response.status == 404


async def test_requests_are_counted_by_pattern(client: Client) -> None:
    for path in (f"/users/{ALICE}/stats", f"/users/{user(2)}/stats", "/a", "/b"):
        async with client.get(path):
            pass
    async with client.get("/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        text = await response.text()
    counted = 'txnwatch_api_requests_total{method="GET",route="%s",status="404"} 2.0'
    assert counted % "/users/{user_id}/stats" in text
    assert counted % "unmatched" in text
