"""The dashboard's page and files: our own beside this module, uPlot's from the package `youplot`."""

from collections.abc import Awaitable, Callable
from html import escape
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import quote

import msgspec
from aiohttp import hdrs, web

from api.web.problems import ProblemDocument
from api.web.static_files import StaticPage

_STATIC = Path(str(files("api.dashboard"))) / "static"
_PAGE = _STATIC / "page.html"
_LOST = _STATIC / "lost.html"
_LOGIN = _STATIC / "login.html"
# Found without importing the package, which is about drawing from Python.
_VENDOR = Path(str(distribution("youplot").locate_file("youplot/vendor")))
_UPLOT = (_VENDOR / "uplot.iife.min.js", _VENDOR / "uplot.min.css")

# No inline script or style at all, and no text that could become markup. `shared` makes the address of one
# worker, which holds the streams of all tabs (hub.js).
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types shared"
)
_BAD_REQUEST, _UNAUTHORIZED = 400, 401


_FOR_PEOPLE = ("/dashboard", "/session/provider")
_PAGES = ("/", "/docs", "/dashboard")


@web.middleware
async def to_login(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Lead a browser that opens one of our pages without being logged in to the page for that."""
    response = await handler(request)
    is_page = request.path in _PAGES and "text/html" in request.headers.get(hdrs.ACCEPT, "")
    if response.status != _UNAUTHORIZED or not is_page:
        return response
    back = quote(request.rel_url.raw_path_qs.lstrip("/"), safe="")
    return web.Response(status=303, headers={hdrs.LOCATION: f"login?next={back}"})


def dashboard_page() -> StaticPage:
    """The page, allowed to load from here alone."""
    own = (path for path in _STATIC.iterdir() if path not in (_PAGE, _LOST, _LOGIN))
    return StaticPage(_PAGE, [*own, *_UPLOT], policy=_POLICY)


@web.middleware
async def lost(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer a browser that looks for a page of the dashboard's with a page where there is a problem.

    Addresses in it are relative, as the service may stand below any path of a proxy's.
    """
    response = await handler(request)
    if request.path == "/dashboard/":
        # As it was sent: a decoded line break or # would not be one header, or not the query.
        raw = request.rel_url.raw_query_string
        query = f"?{raw}" if raw else ""
        return web.Response(status=308, headers={hdrs.LOCATION: f"../dashboard{query}"})
    is_page = request.path.startswith(_FOR_PEOPLE) and not request.path.startswith("/dashboard/data/")
    if not (is_page and isinstance(response, web.Response) and response.status >= _BAD_REQUEST):
        return response
    if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
        return response
    problem = msgspec.json.decode(response.text or "", type=ProblemDocument)
    details = [problem.detail, *(f"{error.parameter} {error.detail}." for error in problem.errors)]
    text = Template(_LOST.read_text()).substitute(
        root="../" * (request.path.count("/") - 1),
        title=escape(f"{problem.status} {problem.title}"),
        detail=escape(" ".join(details)),
    )
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return web.Response(status=response.status, text=text, content_type="text/html", headers=headers)
