"""Who may ask the web views: whoever shares the secret with them, that is the API and other workers."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import hdrs, web

from infra.runtime.addresses import called, is_loopback, is_near, own_names
from stream_app.faust_adapter.start_checks import StartError
from stream_app.settings import WebSettings

_PROBES = frozenset({"/health", "/ready", "/metrics", "/metrics/prometheus"})
"""Open on this machine."""


def check_secret(settings: WebSettings) -> None:
    """See that views that others can reach have a secret.

    Raises:
        StartError: They have none, and nobody said that they need none.
    """
    if settings.needs_secret and not settings.web_secret.get_secret_value():
        raise StartError(
            f"TXNWATCH_WEB_SECRET: others can reach the web views on {settings.web_host}. Give workers and "
            "API the same secret, or say TXNWATCH_WEB_LOGIN=off"
        )


def guards(settings: WebSettings) -> list[Any]:
    """The middlewares of the views' web application.

    Where no secret is needed as only this machine reaches them, they answer for its names alone: a foreign
    page may have its own name lead to 127.0.0.1, and would read every window.
    """
    expected = settings.web_headers.get(hdrs.AUTHORIZATION, "").encode()

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get(hdrs.AUTHORIZATION, "").encode(errors="surrogateescape")
        is_probe = request.path in _PROBES and is_near(request.remote or "", request.headers)
        if not (is_probe or hmac.compare_digest(given, expected)):
            return web.Response(status=401, headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="txnwatch"'})
        return await handler(request)

    @web.middleware
    async def only_ours(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if called(request.host) not in own_names(settings.web_host) and request.path not in _PROBES:
            return web.Response(status=421, text="These views answer for the names of this machine alone.")
        return await handler(request)

    if settings.needs_secret:
        return [guard]
    return [only_ours] if is_loopback(settings.web_host) else []
