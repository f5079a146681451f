"""Routes: what is served at a path, with which parameters, and what comes back.

A route is declared beside its handler, and that is all there is to it: `serve` serves it, params.py reads
its parameters, openapi.py describes it.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import msgspec
from aiohttp import hdrs, web

from api.web.gate import Gate
from api.web.open_answers import OpenAnswers
from api.web.params import NoParameters, declared, read
from api.web.problems import ParameterError
from schemas.access import Scope

EVENT_STREAM = "text/event-stream"
GATE: Final = web.AppKey("gate", Gate)
OPEN: Final = web.AppKey("open", OpenAnswers)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[web.StreamResponse]])

_PART = re.compile(r"{(\w+)}")
"""A parameter in a path. aiohttp's own pattern for it takes no braces: a UUID in braces would be a 404."""


@dataclass(frozen=True, slots=True)
class Route:
    """One route, as the decorator of the method that answers it with the request and its parameters."""

    path: str
    operation_id: str
    """What generated clients call it: stays when the handler is renamed."""
    _: KW_ONLY
    method: str = "GET"
    parameters: type[Any] = NoParameters
    takes: Mapping[str, Any] = field(default_factory=dict)
    """Of the request's body, the type by media."""
    check: Callable[[Any, Mapping[str, Any]], Iterable[ParameterError]] | None = None
    """A method of the same object: of the parameters that parsed, yields what does not fit together."""
    body: type[Any] | None = None
    """The type of the JSON answer, or of each event's data; without one, `media` is all that is said."""
    media: str = "application/json"
    exports: Sequence[str] = ()
    """Other media that the same rows can be had as."""
    status: int = 200
    pages: bool = False
    """Whether `Link` names the page after this one."""
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What an answer leads to, by name: the `operation`, unless it is the same, and its parameters."""
    depends: bool = False
    """On something that can be down: then 503 is among the answers."""
    others: Mapping[int, str] = field(default_factory=dict)
    """Other statuses of the same answer, and when each of them comes."""
    bounded: bool = False
    """How much of it is done at the same time: then 429 is among the answers."""
    finds: bool = False
    """Something that may not be there: then 404 is among the answers."""
    others_ignored: bool = False
    """Whether parameters that are not described are passed over."""
    needs: Scope | None = Scope.READ
    """The scope it asks for, where callers have to say who they are; None: it is open to everybody."""
    probes: bool = False
    """Whether it says how the process is: open on this machine."""
    summary: str = ""
    """For the documentation: the first line of the method's docstring."""

    def __call__(self, handler: Handler) -> Handler:
        """Declare that this method answers the route."""
        _routes[handler] = replace(self, summary=(handler.__doc__ or "").partition("\n")[0])
        return handler

    @property
    def streams(self) -> bool:
        """Whether the answer lasts as long as the client stays."""
        return self.media == EVENT_STREAM

    @property
    def names_user(self) -> bool:
        """Whether a parameter names the user whose transactions it tells of."""
        return any(parameter.name == "user_id" for parameter in declared(self.parameters))


_routes: dict[Callable[..., Any], Route] = {}


def routes_of(*owners: object) -> list[tuple[Route, Answer]]:
    """The routes that the methods of these objects answer, in the order of their declaration."""
    return [
        (_routes[handler], partial(_answer, _routes[handler], owner, handler))
        for owner in owners
        for handler in vars(type(owner)).values()
        if callable(handler) and handler in _routes
    ]


async def _answer(route: Route, owner: object, handler: Handler, request: web.Request) -> web.StreamResponse:
    caller = await request.app[GATE].admit(request, route)
    check = route.check and partial(route.check, owner)
    query = read(route.parameters, request, check, strict=not (route.streams or route.others_ignored))
    if caller and hasattr(query, "who"):  # nobody decides in another's name
        query = replace(query, who=caller.name)
    if caller is None:
        return await handler(owner, request, query)
    with request.app[OPEN].listed(request, route, caller):
        return await handler(owner, request, query)


def serve(router: web.UrlDispatcher, routes: Iterable[tuple[Route, Answer]]) -> None:
    """Add the routes to the application's router, those of a path together: it tries one after the other."""
    resources: dict[str, web.Resource] = {}
    for route, answer in routes:
        if (path := route.path) not in resources:
            resources[path] = router.add_resource(_PART.sub(r"{\1:[^/]+}", path))
        resources[path].add_route(route.method, answer)
        if route.method == hdrs.METH_GET and not route.streams:  # a HEAD would wait for a body never sent
            resources[path].add_route(hdrs.METH_HEAD, answer)


def one_line(json: bytes) -> bytes:
    """The same JSON, with the characters escaped that end a line for Python, Java and others but not in JSON.

    They are U+0085, U+2028 and U+2029: valid JSON has them within texts alone.
    """
    if b"\xe2\x80" in json:
        json = json.replace(b"\xe2\x80\xa8", rb"\u2028").replace(b"\xe2\x80\xa9", rb"\u2029")
    return json.replace(b"\xc2\x85", rb"\u0085")


def json_response(value: Any, headers: Mapping[str, str] | None = None) -> web.Response:
    """The value as JSON, bytes as they are; not to be kept by a cache on the way."""
    return web.Response(
        body=value if isinstance(value, bytes) else msgspec.json.encode(value),
        headers={"Content-Type": "application/json", "Cache-Control": "no-store", **(headers or {})},
    )


def next_page(request: web.Request, cursor: str) -> dict[str, str]:
    """The header with the link to the page after this one (RFC 8288): the same query with this cursor."""
    if not cursor:
        return {}
    given = (one for one in request.rel_url.raw_query_string.split("&") if one)
    query = "&".join([one for one in given if unquote(one.partition("=")[0]) != "cursor"])
    return {hdrs.LINK: f'<?{query}{"&" if query else ""}cursor={cursor}>; rel="next"'}
