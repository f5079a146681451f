"""Behind a proxy that serves the API under a path of its own and leaves that out of what it passes on."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from api.settings import Settings
from tests.support.rows import made, store, user
from tests.support.serving import Client, serving

ALICE = user(1)


@asynccontextmanager
async def behind(client: Client) -> AsyncIterator[Client]:
    """A client of a proxy that has the API under /txn/, and nothing else."""

    async def passed_on(request: web.Request) -> web.Response:
        target = client.make_url("/").join(URL(request.raw_path.removeprefix("/txn"), encoded=True))
        headers = {name: value for name, value in request.headers.items() if name == "Accept"}
        async with client.session.get(target, headers=headers, allow_redirects=False) as response:
            names = ("Content-Type", "Location", "Link")
            kept = {name: response.headers[name] for name in names if name in response.headers}
            return web.Response(status=response.status, body=await response.read(), headers=kept)

    app = web.Application()
    app.router.add_get("/txn/{rest:.*}", passed_on)
    async with TestClient(TestServer(app)) as proxied:
        yield proxied


@pytest.fixture
async def proxied(pages_settings: Settings, database: str) -> AsyncIterator[Client]:
    await store(database, [made(ALICE, n) for n in range(3)])
    async with serving(pages_settings, root_path="/txn") as client, behind(client) as one:
        yield one


@pytest.mark.parametrize("page", ["", "docs", "dashboard"])
async def test_pages_lead_nowhere_outside(proxied: Client, page: str) -> None:
    async with proxied.get(f"/txn/{page}") as response:
        assert response.status == 200
        text, at = await response.text(), response.url
    assert at.path == f"/txn/{page or 'docs'}"
    loaded = {at.join(URL(one)) for one in re.findall(r'(?:src|href)="([^"#]+)"', text)}
    assert len(loaded) >= 4
    for url in loaded:
        async with proxied.session.get(url) as response:
            assert response.status == 200, url


async def test_the_document_names_the_path_that_its_routes_are_under(proxied: Client) -> None:
    async with proxied.get("/txn/openapi.json") as response:
        document = await response.json()
    [server] = document["servers"]
    for path in ("/health", "/users", "/anomalies"):
        async with proxied.get(server["url"] + path) as response:
            assert response.status == 200
            assert path in document["paths"]


async def test_the_next_page_is_behind_it_too(proxied: Client) -> None:
    seen = []
    async with proxied.get(
        "/txn/transactions", params={"user_id": ALICE, "from_date": "2018-01-01", "limit": 2}
    ) as response:
        seen += (await response.json())["transactions"]
        following = str(response.links["next"]["url"])
    async with proxied.session.get(following) as response:
        seen += (await response.json())["transactions"]
    assert len({row["id"] for row in seen}) == 3
