"""Whatever changes something is in the audit trail, with who did it; `txnwatch audit` shows it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import hdrs
from click.testing import CliRunner, Result

from api.settings import Settings
from infra.access import store
from infra.access.audit import changes
from infra.access.secrets import hashed
from infra.cli import main
from infra.runtime.audit_trail import note
from schemas.access import Scope
from tests.support.callers import address, routes
from tests.support.rows import made, user
from tests.support.rows import store as store_rows
from tests.support.serving import Client, serving

PASSWORD = "a password of hers"  # noqa: S105 - of this test's alone
UNTIL = (datetime.now(UTC) + timedelta(days=1)).isoformat()
CHANGES: dict[str, tuple[Any, str]] = {
    "session_begin": ({"name": "ann", "password": PASSWORD}, "logged in"),
    "rules_decide": ({"detector": "odds"}, "decision 1 on rules"),
    "rules_roll_back": ({"seq": 1}, "decision 2 on rules"),
    "labels_give": ({"label": "fraud"}, "decision 3 on label"),
    "lists_put": ({"entries": ["a"]}, "decision 4 on list"),
    "lists_add": ({"entries": ["b"]}, "decision 5 on list"),
    "lists_remove": ({"entries": ["b"]}, "decision 6 on list"),
    "suppressions_decide": ({"user_id": user(1), "until": UNTIL}, "decision 7 on suppression"),
    "session_end_all": (None, "logged out everywhere"),
    "session_end": (None, "logged out"),
}
"""Of each route that changes something, what it is sent, and what is noted of it; in this order."""
NONE = {"transactions_post": "rows, which say what came", "session_ticket": "changes nothing"}


@pytest.mark.slow
async def test_whatever_changes_something_is_noted_with_who_did_it(pages_settings: Settings) -> None:
    row = made(user(1), 1)
    url = pages_settings.postgres.get_secret_value()
    await store_rows(url, [row])
    connection = await asyncpg.connect(url)
    await store.add_account(connection, "ann", hashed(PASSWORD), [Scope.ADMIN], "test")
    async with serving(pages_settings, login="required", dependency_seconds=1) as client:
        changing = {route.operation_id: route for route in routes(client) if route.method != "GET"}
        assert changing.keys() == CHANGES.keys() | NONE.keys()
        for operation, (body, what) in CHANGES.items():
            route, seq = changing[operation], 1 if operation == "rules_roll_back" else 0
            path = address(route).replace(user(9), row.txn.id)
            if operation == "session_end":
                await log_in(client)
            sent = {} if body is None else {"json": body}
            tag = {hdrs.IF_MATCH: f'"{seq}"'}
            async with client.request(route.method, path, headers=tag, **sent) as response:
                assert response.status == 200, (operation, await response.text())
            [newest] = await changes(connection, most=1)
            assert (newest.who, newest.what) == ("ann", what)
    await connection.close()


async def log_in(client: Client) -> None:
    async with client.post("/session", json={"name": "ann", "password": PASSWORD}) as response:
        assert response.status == 200


def run(*arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=given)


async def test_the_command_shows_who_changed_what(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_URL", database)
    monkeypatch.setattr("infra.access.cli.this_user", lambda: "eve")

    def use() -> None:
        assert run("audit").output == "nothing was changed\n"
        run("accounts", "add", "ann", given=PASSWORD)
        assert run("accounts", "rights", "ann", "--scope", "label").output == "account ann: label\n"
        assert "no account bob" in run("accounts", "rights", "bob").output
        run("tokens", "add", "feed")
        lines = run("audit").output.splitlines()
        assert [line.partition(" UTC  ")[2] for line in lines] == [
            "eve  token made  feed: read", "eve  rights changed  ann: label", "eve  account made  ann: read",
        ]  # fmt: skip
        [one] = run("audit", "--json", "--limit", "1", "--who", "eve").output.splitlines()
        assert json.loads(one)["what"] == "token made"
        assert run("audit", "--who", "bob").output == "nothing was changed\n"
        assert run("audit", "--since", "2099-01-01").output == "nothing was changed\n"

    await asyncio.to_thread(use)
    connection = await asyncpg.connect(database)
    await note(connection, "a\nb\x1b[2J", "not logged in", "x")
    await connection.close()
    shown = await asyncio.to_thread(run, "audit", "--limit", "1")
    assert shown.output.partition(" UTC  ")[2] == "a?b?[2J  not logged in  x\n"
