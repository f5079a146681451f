"""What every route has: errors as problems, CORS, counting, one log line a failure."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiohttp import hdrs, web

from api.metrics import Metrics
from api.web.gate import CALLER
from api.web.problems import Problem
from infra.runtime.addresses import called, host_of, is_loopback
from schemas.masking import without_data

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_EXPOSED = ", ".join([
    *(hdrs.CONTENT_DISPOSITION, hdrs.ETAG, hdrs.LINK, hdrs.RETRY_AFTER),
    *("RateLimit-Limit", "RateLimit-Policy", "RateLimit-Remaining", "RateLimit-Reset"),
])  # fmt: skip
_ONLY_READ = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_HARDENED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_UNMATCHED = "unmatched"
_SITE = "Sec-Fetch-Site"  # no page can set it
_LOGGED_TEXT = 500


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem; log an unexpected one with its traceback, which no caller sees."""
    try:
        return await handler(request)
    except (Problem, web.HTTPException) as raised:
        problem = raised if isinstance(raised, Problem) else _from_http(raised)
        _log(request, problem)
        return problem.response()
    except Exception as error:
        if isinstance(error, ConnectionResetError) and request.transport is None:
            return web.Response()  # the client has left
        log.exception("%s %s failed", *_shown(request))
        return Problem(500, "Something went wrong here; it has been logged.").response()


def _from_http(raised: web.HTTPException) -> Problem:
    if isinstance(raised, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(raised.allowed_methods))
        return Problem(405, f"Allowed here: {allowed}.", headers={"Allow": allowed})
    detail = "There is no such page." if isinstance(raised, web.HTTPNotFound) else f"{raised.reason}."
    return Problem(raised.status, detail)


def _log(request: web.Request, problem: Problem) -> None:
    """What was wrong: a server's failure whole, of a caller's what does not repeat what was sent."""
    reasons = "; ".join(f"{error.parameter} {error.detail}" for error in problem.errors)
    level, said = logging.INFO, without_data(in_one_line(reasons or problem.detail))
    if problem.status >= 500:  # noqa: PLR2004 - servers' errors
        level, said = logging.WARNING, in_one_line(problem.detail)
    log.log(level, "%s %s: %d %s", *_shown(request), problem.status, said)


def asked(request: web.Request) -> tuple[str, str]:
    """The method, and the route's pattern: a path has users' ids, and each would be a series of its own."""
    resource = request.match_info.route.resource
    method = request.method if request.method in hdrs.METH_ALL else "other"
    return method, resource.canonical if resource is not None else _UNMATCHED


def _shown(request: web.Request) -> tuple[str, str]:
    """The same with the names of parameters: their values are users' ids, tickets and codes of logins."""
    method, route = asked(request)
    names = without_data(in_one_line("&".join(dict.fromkeys(request.query))))
    return method, f"{route}?{names}" if names else route


def in_one_line(text: str) -> str:
    """Escape line ends and terminal codes: names of parameters are the caller's."""
    shown = (
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text[:_LOGGED_TEXT]
    )
    return "".join(shown)


def counting(metrics: Metrics, *, logged: bool = False) -> Any:
    """Count every answer by status and route, and where that is wanted log it."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.monotonic()
        with metrics.in_progress.track_inprogress():
            response = await handler(request)
        method, route = asked(request)
        took = time.monotonic() - began
        seconds = took if isinstance(response, web.Response) else None
        metrics.count_request(route, method, response.status, seconds)
        if logged:
            by = f" by {request[CALLER]}" if CALLER in request else ""
            log.info("%s %s%s: %d after %.0f ms", method, route, by, response.status, 1000 * took)
        return response

    return count


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Add to an answer that is about to be sent what keeps browsers from taking it for something else."""
    for name, value in _HARDENED.items():
        response.headers.setdefault(name, value)


class Called:
    """Refuses requests for a name that is not ours: a foreign page may have its name lead to this machine."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer where the name, without its port, is one of these; any where there are none."""
        if self._names and called(request.host) not in self._names:
            raise Problem(421, "TXNWATCH_API_HOSTS has another name for this service.")
        return await handler(request)


class Cors:
    """Lets web pages of these origins read the answers, errors and streams among them.

    Pages of an origin that is named may send credentials, such as a proxy's cookie; those of `*`, for any,
    and of `local`, for every port of this machine, may not.
    """

    def __init__(self, origins: frozenset[str]) -> None:
        self._named = origins - {"*", "local"}
        self._any, self._local = "*" in origins, "local" in origins

    def headers(self, origin: str | None) -> Mapping[str, str]:
        """The headers of an answer to a page of this origin."""
        vary: dict[str, str] = {hdrs.VARY: "Origin"} if self._named or not self._any else {}
        if origin in self._named and origin is not None:
            credentials = {str(hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS): "true"}
            return {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin, **credentials, **vary}
        if self._any:
            return {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*", **vary}
        if self._local and origin is not None and is_loopback(host_of(origin)):
            return {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin, **vary}
        return vary

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a change that a page of an origin that is not named asks for."""
        if request.method not in _ONLY_READ and not self._is_ours(request):
            raise Problem(403, "Only pages of the origins that TXNWATCH_CORS_ORIGINS names change anything.")
        return await handler(request)

    def _is_ours(self, request: web.Request) -> bool:
        """Whether no page asks, or one of ours, which the browser alone knows where a proxy sets `Host`."""
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or origin in self._named or request.headers.get(_SITE) == "same-origin":
            return True
        return origin.partition("://")[2] == request.host

    async def on_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add them to an answer that is about to be sent."""
        for name, value in self.headers(request.headers.get(hdrs.ORIGIN)).items():
            given = response.headers.get(name)
            response.headers[name] = f"{given}, {value}" if given and name == hdrs.VARY else value
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED

    @web.middleware
    async def preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer OPTIONS for every path that there is."""
        if request.method != hdrs.METH_OPTIONS:
            return await handler(request)
        refused = request.match_info.http_exception
        if isinstance(refused, web.HTTPNotFound):
            raise refused
        methods = refused.allowed_methods if isinstance(refused, web.HTTPMethodNotAllowed) else set()
        there = {*methods, hdrs.METH_OPTIONS}
        asked_by_ours = request.headers.get(hdrs.ORIGIN) in self._named
        return web.Response(
            status=204,
            headers={
                hdrs.ALLOW: _listed(there),
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: _listed(there if asked_by_ours else there & _ONLY_READ),
                # `*` stands neither for Authorization nor, with credentials, for any other.
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: request.headers.get(
                    hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "*"
                ),
                hdrs.ACCESS_CONTROL_MAX_AGE: "600",
            },
        )


def _listed(methods: Iterable[str]) -> str:
    return ", ".join(sorted(methods))
