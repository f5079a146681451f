"""Who is let in: every route for every kind of caller, sessions, tickets, and names of hosts."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import pytest
from aiohttp import hdrs

from api.settings import Settings
from api.web.gate import COOKIE
from api.web.route import GATE, Route
from infra.access import store
from infra.access.secrets import hashed, new_token
from infra.access.store import NewToken
from schemas.access import Scope
from tests.support.callers import address, bearer, routes
from tests.support.rows import made, user
from tests.support.rows import store as store_rows
from tests.support.serving import Client, serving

ALICE, BOB = user(1), user(2)
PASSWORD = "a password of hers"  # noqa: S105 - of this test's alone
OPEN = {
    "session_page", "session_asset", "session_show", "session_begin", "session_end", "session_end_all",
}  # fmt: skip
TICKET = "session_ticket"
FAR = {"X-Forwarded-For": "192.0.2.1"}
"""As a proxy passes on what comes from elsewhere."""
HTML = {hdrs.ACCEPT: "text/html,*/*"}
REFUSED = {401, 403}
HARDENED = {
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
}  # fmt: skip


class Secrets(NamedTuple):
    """A token of each right, and one for Alice alone."""

    by_scope: dict[Scope, str]
    of_alice: str


@pytest.fixture
async def secrets(pages_settings: Settings) -> Secrets:
    by_scope = {right: new_token("txn") for right in Scope}
    of_alice = new_token("txn")
    connection = await asyncpg.connect(pages_settings.postgres.get_secret_value())
    try:
        for right, secret in by_scope.items():
            await store.add_token(connection, NewToken(right, secret, [right], None, None), "test")
        only = NewToken("alice", of_alice, [Scope.READ], [ALICE], None)
        await store.add_token(connection, only, "test")
        await store.add_account(connection, "ann", hashed(PASSWORD), [Scope.READ, Scope.DECIDE], "test")
    finally:
        await connection.close()
    await store_rows(pages_settings.postgres.get_secret_value(), [made(ALICE, 1), made(BOB, 2)])
    return Secrets(by_scope, of_alice)


@pytest.fixture
async def guarded(pages_settings: Settings, secrets: Secrets) -> AsyncIterator[Client]:
    assert secrets
    async with serving(pages_settings, login="required", dependency_seconds=1) as one:
        yield one


async def status_of(client: Client, route: Route, headers: dict[str, str], query: str = "") -> int:
    """What it answers; where it refuses, with nothing but why."""
    body: dict[str, Any] = {} if route.method in {"GET", "DELETE"} else {"data": b"x"}
    async with client.request(
        route.method, address(route) + query, headers={**headers, **FAR}, allow_redirects=False, **body
    ) as response:
        assert response.status != 500
        assert HARDENED.items() <= {name: response.headers.get(name) for name in HARDENED}.items()
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        if response.status in REFUSED:
            assert (await response.json()).keys() == {"type", "title", "status", "detail", "errors"}
        return response.status


async def test_every_route_answers_who_has_its_right_and_nobody_else(
    guarded: Client, secrets: Secrets
) -> None:
    for route in routes(guarded):
        if route.operation_id == TICKET:
            continue
        assert (route.needs is None) == (route.operation_id in OPEN)
        nobody = {await status_of(guarded, route, headers) for headers in ({}, bearer("txn_made-up"))}
        assert nobody == ({401} if route.needs else nobody - REFUSED), route.operation_id
        for right, secret in secrets.by_scope.items():
            expected = None if route.needs in {None, right} or right is Scope.ADMIN else 403
            status = await status_of(guarded, route, bearer(secret))
            assert (status if status in REFUSED else None) == expected, (route.operation_id, right)


async def test_the_log_says_who_posted_and_nothing_of_what(
    pages_settings: Settings, secrets: Secrets, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving(pages_settings, login="required", log_requests=True) as client:
        for right in (Scope.SEND, Scope.READ):
            headers = bearer(secrets.by_scope[right])
            async with client.post("/transactions", headers=headers, json={"user_id": ALICE}):
                pass
    lines = [line for line in caplog.messages if " after " in line]
    assert [line.partition(" after ")[0] for line in lines] == [
        "POST /transactions by send: 422", "POST /transactions by read: 403",
    ]  # fmt: skip
    assert ALICE not in caplog.text


async def test_changes_need_another_right_than_reading(guarded: Client) -> None:
    changing = {
        route.operation_id: route.needs for route in routes(guarded) if route.method != "GET" and route.needs
    }

    assert len(changing) > 5
    assert Scope.READ not in changing.values()


async def test_a_token_of_some_users_tells_of_them_alone(guarded: Client, secrets: Secrets) -> None:
    for route in routes(guarded):
        if route.needs is None:
            continue
        expected = not (route.needs == Scope.READ and route.names_user)
        alone = f"?user_id={ALICE}" if "{user_id}" not in route.path else ""
        both = f"?user_id={ALICE}&user_id={BOB}"
        assert (await status_of(guarded, route, bearer(secrets.of_alice), alone) == 403) is expected
        assert await status_of(guarded, route, bearer(secrets.of_alice), both) == 403
        assert await status_of(guarded, route, bearer(secrets.of_alice), f"?user_id={BOB}") == 403
    async with guarded.get(f"/users/{BOB}/stats", headers=bearer(secrets.of_alice)) as response:
        assert response.status == 403


async def test_probes_of_this_machine_need_no_token(guarded: Client) -> None:
    for path in ("/health", "/metrics"):
        async with guarded.get(path) as near, guarded.get(path, headers=FAR) as far:
            assert (near.status, far.status) == (200, 401)


async def test_the_description_says_how_to_log_in_where_one_has_to(guarded: Client, client: Client) -> None:
    assert await log_in(guarded) == 200
    for one, login in ((guarded, True), (client, False)):
        async with one.get("/openapi.json") as response:
            described = await response.json()
        assert ("securitySchemes" in described["components"]) is login
        assert bool(described["security"]) is login


async def test_without_a_login_everything_is_open(client: Client) -> None:
    async with client.get("/session") as response:
        assert await response.json() == {"required": False, "name": "", "scopes": [], "provider": ""}
    async with client.get("/transactions") as response:
        assert response.status not in REFUSED


async def test_it_is_required_wherever_others_can_reach_it(pages_settings: Settings) -> None:
    assert not pages_settings.needs_login
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):  # noqa: S104 - nothing is bound
        assert pages_settings.model_copy(update={"host": host}).needs_login
        assert not pages_settings.model_copy(update={"host": host, "login": "off"}).needs_login


async def log_in(client: Client, name: str = "ann", password: str = PASSWORD) -> int:
    async with client.post("/session", json={"name": name, "password": password}) as response:
        if response.status == 200:
            cookie = response.cookies[COOKIE]
            assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
            assert response.headers["Cache-Control"] == "no-store"
        return response.status


async def test_a_session_lasts_until_it_is_ended(guarded: Client, pages_settings: Settings) -> None:
    assert await log_in(guarded) == 200
    async with guarded.get("/session") as response:
        said = await response.json()
        assert said == {"required": True, "name": "ann", "scopes": ["decide", "read"], "provider": ""}
    async with guarded.get("/users", headers=FAR) as response:
        assert response.status == 200

    async with guarded.delete("/session") as response:
        assert (await response.json())["name"] == ""
    async with guarded.get("/users", headers=FAR) as response:
        assert response.status == 401
    assert await logged(pages_settings) == ["account made", "logged in", "logged out"]


async def logged(settings: Settings) -> list[str]:
    """What the access log has of Ann."""
    connection = await asyncpg.connect(settings.postgres.get_secret_value())
    try:
        rows = await connection.fetch("SELECT what FROM access_log WHERE whom LIKE 'ann%' ORDER BY at")
    finally:
        await connection.close()
    return [row["what"] for row in rows]


@pytest.mark.parametrize(
    ("passed_on", "is_secure"),
    [("https", True), ("HTTPS", True), ("https, http", True), ("http, https", False), ("", False)],
)
async def test_a_cookie_goes_over_tls_alone_where_the_browser_uses_it(
    guarded: Client, passed_on: str, *, is_secure: bool
) -> None:
    async with guarded.delete("/session", headers={"X-Forwarded-Proto": passed_on}) as response:
        assert ("; Secure" in response.headers[hdrs.SET_COOKIE]) is is_secure


async def test_to_log_out_everywhere_ends_every_session(guarded: Client) -> None:
    assert await log_in(guarded) == 200
    [first] = [cookie.value for cookie in guarded.session.cookie_jar if cookie.key == COOKIE]
    guarded.session.cookie_jar.clear()
    assert await log_in(guarded) == 200
    async with guarded.get("/users", cookies={}, headers=bearer(first)) as response:
        assert response.status == 200

    async with guarded.delete("/sessions") as response:
        assert response.status == 200
    async with guarded.get("/users", headers=bearer(first)) as response:
        assert response.status == 401


async def test_an_expired_session_is_none(guarded: Client, pages_settings: Settings) -> None:
    assert await log_in(guarded) == 200
    connection = await asyncpg.connect(pages_settings.postgres.get_secret_value())
    await connection.execute("UPDATE access_sessions SET expires_at = now() - interval '1 second'")
    await connection.close()
    assert guarded.app is not None
    guarded.app[GATE].forget_all_of("ann")  # else for five seconds

    async with guarded.get("/session") as response:
        assert (await response.json())["name"] == ""


@pytest.mark.parametrize(("name", "password"), [("ann", "another password"), ("eve", PASSWORD)])
async def test_a_wrong_password_and_a_wrong_name_are_answered_alike(
    guarded: Client, pages_settings: Settings, name: str, password: str
) -> None:
    async with guarded.post("/session", json={"name": name, "password": password}) as response:
        assert response.status == 401
        assert (await response.json())["detail"] == "No such name, or another password."
        assert COOKIE not in response.cookies
    assert PASSWORD not in str(await logged(pages_settings))


async def test_who_guesses_too_often_has_to_wait(guarded: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.routes.session.fits", lambda *_: False)  # 0.3 s each
    statuses = [await log_in(guarded, password=f"guess number {number}") for number in range(11)]

    assert statuses == [401] * 10 + [429]
    assert await log_in(guarded, "bob") == 429  # from the same address


async def test_many_guesses_at_once_are_no_more_than_one_after_another(
    guarded: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.session.fits", lambda *_: False)
    statuses = await asyncio.gather(*(log_in(guarded, password=f"guess {number}") for number in range(30)))

    assert sorted(statuses) == [401] * 10 + [429] * 20


async def test_who_asks_too_often_has_to_wait_and_nobody_else(
    pages_settings: Settings, secrets: Secrets
) -> None:
    one, other = (bearer(secrets.by_scope[right]) for right in (Scope.READ, Scope.ADMIN))

    async def status(headers: dict[str, str], path: str = "/decisions", left: str | None = "") -> int:
        async with client.get(path, headers=headers) as response:
            assert left == "" or response.headers.get("RateLimit-Remaining") == left
            assert (response.status == 429) == ("Retry-After" in response.headers)
            return response.status

    async with serving(pages_settings, login="required", rate=0.01, burst=4) as client:
        assert await status({}) == await status(bearer("txn_made-up")) == 401
        assert [await status(one, left=str(left)) for left in (1, 3, 2, 1, 0, 0)] == [200] * 5 + [429]
        assert [await status(other) for _ in range(2)] == [200] * 2
        assert [await status({}) for _ in range(2)] == [429] * 2  # with those whom nobody knew yet
        assert await status({}, "/login") == 429
        assert [await status({}, "/health", left=None) for _ in range(9)] == [200] * 9
        # From elsewhere each token that nobody has is looked up.
        made_up = [{**bearer(f"txn_{number}"), "X-Forwarded-For": "192.0.2.9"} for number in range(2)]
        assert [await status(headers, "/health") for headers in made_up] == [429] * 2
    async with serving(pages_settings, login="required", rate=0.01, burst=2, proxies=1) as client:
        for number in range(9):
            assert await status({"X-Forwarded-For": f"192.0.2.{number}"}) == 401
        assert [await status(FAR) for _ in range(2)] == [401, 429]


async def test_a_ticket_stands_for_its_caller_for_a_minute(
    guarded: Client, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with guarded.post("/session/ticket", headers=bearer(secrets.of_alice)) as response:
        ticket = (await response.json())["ticket"]
    assert secrets.of_alice not in ticket
    async with guarded.post("/session/ticket", params={"ticket": ticket}) as response:
        assert response.status == 401

    async def status(path: str, shown: str = ticket) -> int:
        async with guarded.get(path, params={"ticket": shown}, headers=FAR) as answer:
            return answer.status

    assert await status(f"/sse/transactions/{ALICE}") == 200
    assert await status(f"/sse/transactions/{BOB}") == 403
    assert await status(f"/users/{ALICE}/stats", ticket[:-6] + "AAAAAA") == 401
    async with guarded.post("/session/ticket", headers=bearer(secrets.by_scope[Scope.SEND])) as response:
        sends = (await response.json())["ticket"]
    async with guarded.post("/transactions", params={"ticket": sends}, json={}) as response:
        assert response.status == 401  # it only reads
    later = datetime.now(UTC) + timedelta(seconds=61)
    monkeypatch.setattr("api.web.seals.time.time", later.timestamp)
    assert await status(f"/users/{ALICE}/stats") == 401


async def test_decisions_are_in_the_name_of_who_is_logged_in(guarded: Client) -> None:
    assert await log_in(guarded) == 200
    async with guarded.put("/lists/blocked?who=eve", json={"entries": ["a"]}) as response:
        assert response.status == 200
    async with guarded.get("/decisions") as response:
        assert [one["who"] for one in (await response.json())["decisions"]] == ["ann"]


async def test_a_browser_is_led_to_the_page_to_log_in_at_and_back(guarded: Client) -> None:
    async with guarded.get("/dashboard?a=1", headers=HTML, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "login?next=dashboard%3Fa%3D1")
    async with guarded.get("/login") as response:
        page = await response.text()
    for file in re.findall(r'(?:src|href)="([^"]+)"', page):
        async with guarded.get(f"/{file}") as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("hosts", "called", "status"),
    [
        ("", "localhost:8000", 200), ("", "127.0.0.1", 200), ("", "[::1]:8000", 200),
        ("", "attacker.example:8000", 421), ("txn.example, other", "TXN.example", 200),
        ("txn.example", "localhost", 421), ("*", "anything", 200),
    ],
)  # fmt: skip
async def test_only_the_names_that_it_is_called_by_are_answered(
    pages_settings: Settings, hosts: str, called: str, status: int
) -> None:
    async with (
        serving(pages_settings, hosts=hosts) as client,
        client.get("/health", headers={hdrs.HOST: called}) as response,
    ):
        assert response.status == status


async def test_a_shared_workers_script_may_do_what_its_page_may(client: Client) -> None:
    async with client.get("/dashboard") as page, client.get("/dashboard/hub.js") as script:
        policy = script.headers["Content-Security-Policy"]
        assert policy == page.headers["Content-Security-Policy"]
    assert "connect-src 'self'" in policy
