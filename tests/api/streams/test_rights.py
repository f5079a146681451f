"""Every stream and every export ends with the right to it: of a session, a token, an account, a ticket."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import aiohttp
import asyncpg
import pytest
from aiohttp import hdrs

from api.settings import Settings
from api.web.route import EVENT_STREAM
from infra.access import store
from infra.access.secrets import new_token
from infra.access.store import NewToken
from schemas.access import Scope
from tests.support.callers import address, bearer, routes
from tests.support.rows import FLAG, made, user
from tests.support.rows import store as store_rows
from tests.support.serving import PATIENCE, Client, serving

ALICE = user(1)
ENDED = {
    "session": "DELETE FROM access_sessions WHERE account = 'session'",
    "expired": "UPDATE access_sessions SET expires_at = now() WHERE account = 'expired'",
    "rights": "UPDATE access_accounts SET scopes = '{label}' WHERE name = 'rights'",
    "account": "DELETE FROM access_accounts WHERE name = 'account'",
    "token": "DELETE FROM access_tokens WHERE name = 'token'",
    "user": "UPDATE access_tokens SET users = ARRAY[gen_random_uuid()] WHERE name = 'user'",
}
"""What is changed of who has each secret."""


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(settings.postgres.get_secret_value())
    yield connection
    await connection.close()


@pytest.fixture
async def guarded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr("api.web.open_answers._EACH_SECONDS", 0.05)
    monkeypatch.setattr("api.web.gate._KEPT_SECONDS", 0.05)
    async with serving(settings, login="required", exports=100, heartbeat_seconds=0.2) as client:
        yield client


async def secret_of(connection: asyncpg.Connection, name: str) -> str:
    """A session's or a token's, of this name."""
    secret = new_token("txn")
    if name in {"token", "user", "kept"}:
        await store.add_token(connection, NewToken(name, secret, [Scope.READ], None, None), "test")
    else:
        await store.add_account(connection, name, "no password", [Scope.READ], "test")
        await store.begin_session(connection, name, secret, 60)
    return secret


@asynccontextmanager
async def all_open(client: Client, secret: str) -> AsyncIterator[list[aiohttp.ClientResponse]]:
    """Every route whose answer goes on, by a token and by a ticket for it; a part of each is read."""
    async with client.post("/session/ticket", headers=bearer(secret)) as response:
        ticket = (await response.json())["ticket"]
    async with AsyncExitStack() as stack:
        opened = []
        for route in routes(client):
            for media in [EVENT_STREAM] if route.streams else {*route.exports} & {"text/csv"}:
                alone = {} if "{user_id}" in route.path else {"user_id": ALICE, "from_date": "2018-01-01"}
                for headers, shown in ((bearer(secret), {}), ({}, {"ticket": ticket})):
                    asked = client.get(
                        address(route), params=alone | shown, headers={**headers, hdrs.ACCEPT: media}
                    )
                    response = await stack.enter_async_context(asked)
                    assert response.status == 200, await response.text()
                    assert await response.content.read(100)
                    opened.append(response)
        assert len(opened) == 8
        yield opened


async def cut_off(response: aiohttp.ClientResponse) -> None:
    """Returns when the answer ends before its end."""
    with pytest.raises((aiohttp.ClientPayloadError, ConnectionError)):
        await response.read()


@pytest.mark.slow
async def test_every_answer_that_goes_on_ends_with_the_right_to_it(
    guarded: Client,
    connection: asyncpg.Connection,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "api.web.open_answers")
    large = {"text": Random(1).randbytes(25_000).hex()}  # what is not compressed, and fills every buffer
    url = settings.postgres.get_secret_value()
    await store_rows(url, [made(ALICE, n, flag=FLAG, meta_data=large) for n in range(400)])
    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(all_open(guarded, await secret_of(connection, "kept")))
        for name, change in ENDED.items():
            async with all_open(guarded, await secret_of(connection, name)) as opened:
                await connection.execute(change)
                async with asyncio.timeout(PATIENCE):
                    while caplog.text.count(f"answer to {name} ended") < len(opened):  # noqa: ASYNC110 - a log
                        await asyncio.sleep(0.02)
                    await asyncio.gather(*map(cut_off, opened))
        for response in kept:
            assert await response.content.readany()
            assert not response.content.at_eof()
