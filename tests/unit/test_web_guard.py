"""Who may ask the worker's web views."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr, ValidationError

from stream_app.faust_adapter.start_checks import StartError
from stream_app.faust_adapter.web_guard import check_secret, guards
from stream_app.settings import WebSettings

PROBES = ("/health", "/ready", "/metrics", "/metrics/prometheus")
SECRET = SecretStr("shared by all of them")


async def views_of(settings: WebSettings) -> TestClient[web.Request, web.Application]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="amounts")

    app = web.Application(middlewares=guards(settings))
    for path in ("/table/windows/", *PROBES):
        app.router.add_get(path, answer)
    return TestClient(TestServer(app))


@pytest.mark.parametrize(
    ("settings", "open_to_all"),
    [
        (WebSettings(), True),
        (WebSettings(web_host="0.0.0.0", web_login="off"), True),  # noqa: S104 - nothing is bound
        (WebSettings(web_host="0.0.0.0", web_secret=SECRET), False),  # noqa: S104
        (WebSettings(web_login="required", web_secret=SECRET), False),
    ],
)
async def test_where_others_can_reach_them_they_ask_for_the_secret(
    settings: WebSettings, *, open_to_all: bool
) -> None:
    check_secret(settings)
    async with await views_of(settings) as client:
        for given in ({}, {"Authorization": "Bearer a guess"}, {"Authorization": "Bearer \u00e9"}):
            async with client.get("/table/windows/", headers=given) as response:
                assert (response.status == 200) is open_to_all
                assert (await response.text() == "") is not open_to_all
        async with client.get("/table/windows/", headers=settings.web_headers) as response:
            assert await response.text() == "amounts"
        for path in PROBES:
            async with client.get(path) as response:  # from this machine
                assert response.status == 200


async def test_a_foreign_name_that_leads_to_this_machine_reads_nothing() -> None:
    async with await views_of(WebSettings()) as client:
        for name, status in (("attacker.example:6066", 421), ("localhost:6066", 200), ("[::1]", 200)):
            async with client.get("/table/windows/", headers={"Host": name}) as response:
                assert response.status == status, name
        async with client.get("/health", headers={"Host": "worker-1:6066"}) as response:
            assert response.status == 200


async def test_probes_that_a_proxy_passes_on_need_the_secret() -> None:
    async with await views_of(WebSettings(web_login="required", web_secret=SECRET)) as client:
        for header in ("x-forwarded-for", "Forwarded"):
            async with client.get("/metrics", headers={header: "192.0.2.1"}) as response:
                assert response.status == 401


def test_without_a_secret_they_do_not_start_where_others_can_reach_them() -> None:
    with pytest.raises(StartError, match=r"TXNWATCH_WEB_SECRET: .* TXNWATCH_WEB_LOGIN=off"):
        check_secret(WebSettings(web_host="192.0.2.1"))
    with pytest.raises(ValidationError, match="at least 16 characters"):
        WebSettings(web_secret=SecretStr("short"))
