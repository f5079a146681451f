"""The nginx recipe of docs/proxies.md."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from api.settings import Settings
from tests.support.documents import blocks
from tests.support.feed_clients import SECONDS
from tests.support.rows import Worker, made, user
from tests.support.services import free_port
from tests.support.serving import serving, settings_from
from tests.support.source import ROOT

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
ALICE = user(1)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (nginx-light of Debian)"),
]


@asynccontextmanager
async def nginx(folder: Path, api: int) -> AsyncIterator[str]:
    """The address of an nginx in front of this port."""
    recipe = "".join(blocks((ROOT / "docs/proxies.md").read_text(), "nginx"))
    assert "127.0.0.1:8000" in recipe
    port = free_port()
    kept = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    account = "user root;" if os.getuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"{account} daemon off; pid {folder}/pid; events {{}} http {{ access_log off; {kept} server {{"
        f"listen 127.0.0.1:{port}; {recipe.replace('127.0.0.1:8000', f'127.0.0.1:{api}')} }} }}"
    )
    process = await asyncio.create_subprocess_exec(
        str(NGINX), "-e", "stderr", "-p", folder, "-c", configuration
    )
    try:
        async with asyncio.timeout(SECONDS):
            while not await _listens(port):
                assert process.returncode is None
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        await asyncio.sleep(0.05)
        return False
    writer.close()
    return True


@pytest.mark.parametrize("prefix", ["", "/txn"])
async def test_who_comes_through_logs_in_and_is_not_taken_for_this_machine(
    environment: dict[str, str], tmp_path: Path, prefix: str
) -> None:
    browsers = {"Origin": "https://txn.example", "Sec-Fetch-Site": "same-origin"}
    async with (
        serving(settings_from(environment), login="required") as client,
        nginx(tmp_path, client.port or 0) as url,
        aiohttp.ClientSession(url) as session,
    ):
        for probe in ("/metrics", "/ready", "/health"):
            async with session.get(f"{prefix}{probe}") as response:
                assert response.status == 401, probe
        wrong = {"name": "ann", "password": "not hers at all"}
        async with session.post(f"{prefix}/session", json=wrong, headers=browsers) as response:
            assert response.status == 401
        browsers["Sec-Fetch-Site"] = "cross-site"
        async with session.post(f"{prefix}/session", json=wrong, headers=browsers) as response:
            assert response.status == 403


@pytest.mark.parametrize("prefix", ["", "/txn"])
async def test_feeds_flow_through_and_an_api_that_is_away_ends_no_event_source(
    environment: dict[str, str], tmp_path: Path, prefix: str
) -> None:
    settings: Settings = settings_from(environment)
    feed = f"{prefix}/sse/transactions/{ALICE}"
    async with (
        serving(settings) as client,
        nginx(tmp_path, client.port or 0) as url,
        aiohttp.ClientSession(url) as session,
    ):
        async with session.get(feed) as stream, asyncio.timeout(SECONDS):
            assert b"event: position" in await stream.content.readuntil(b"\n\n")
            async with Worker(settings.kafka, settings.scored_topic) as worker:
                await worker.publish(made(ALICE))
            assert made(ALICE).row in await stream.content.readuntil(b"\n\n")
        async with session.get(f"{feed}?last_event_id=x") as refused:
            assert refused.status == 422
        async with session.get(f"{prefix}/health") as healthy:
            assert healthy.status == 200
        await client.close()
        async with session.get(feed) as away:
            assert (away.status, away.content_type, away.charset) == (200, "text/event-stream", "utf-8")
            assert re.fullmatch(r"retry: \d+\n", await away.text())
        async with session.get(f"{prefix}/health") as other:
            assert other.status == 502
