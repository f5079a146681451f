"""Who is let in: every route asks here before it reads a parameter."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Protocol, TypeAlias

from aiohttp import hdrs, web

from api.web.limits import LEFT, RateLimits, address_of
from api.web.problems import Problem
from api.web.seals import Seals
from infra.access.secrets import digest_of
from infra.runtime.addresses import is_near
from schemas.access import Caller, Scope

COOKIE: Final = "txnwatch_session"
CALLER: Final = web.RequestKey("caller", str)
"""Of a request, the name of who asks, where they had to say so."""
TICKET: Final = "ticket"
"""The parameter."""
TICKET_SECONDS: Final = 60
_KEPT_SECONDS = 5.0
"""A token that was taken away, and a session that was ended, are refused after so long."""
_NEVER: tuple[float, Caller | None] = 0, None
_MOST_KEPT = 10_000
_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_LONGEST = 300  # characters of a secret

Ask: TypeAlias = Callable[[Collection[bytes]], Awaitable[Mapping[bytes, Caller]]]


class GuardedRoute(Protocol):
    """What is asked of a route."""

    @property
    def needs(self) -> Scope | None:
        """The scope it asks for; None: it is open to everybody."""

    @property
    def probes(self) -> bool:
        """Whether it says how the process is: open on this machine."""

    @property
    def names_user(self) -> bool:
        """Whether it has a parameter `user_id`, and tells of that user alone."""


class Gate:
    """Lets callers in whose token, session or ticket has the scope; everybody where it is off.

    A secret is known here by its digest. `ask` says whose digests are, `key` signs tickets; `proxies` stand
    before us.
    """

    def __init__(
        self,
        ask: Ask,
        key: bytes,
        *,
        required: bool,
        limits: RateLimits | None = None,
        proxies: int = 0,
    ) -> None:
        self.required = required
        self._ask, self._limits, self._proxies = ask, limits, proxies
        self._tickets = Seals(key, "tickets")
        self._kept: OrderedDict[bytes, tuple[float, Caller | None]] = OrderedDict()

    async def admit(self, request: web.Request, route: GuardedRoute) -> Caller | None:
        """Who asks, where they may have what the route gives; None where nobody has to say.

        Raises:
            Problem: 401 without a token, a session or a ticket that holds; 403 without the scope; 429 for who
                asks too often.
        """
        digest = self.shown(request) if self.required else b""
        is_probe = route.probes and (not self.required or is_near(request.remote or "", request.headers))
        if self._limits is not None and not is_probe:
            request[LEFT] = self._limits.take(self._payer(request, digest))
        if not self.required or route.needs is None or is_probe:
            return None
        caller = await self.known(digest) if digest else None
        if caller is None:
            challenge = {str(hdrs.WWW_AUTHENTICATE): 'Bearer realm="txnwatch"'}
            raise Problem(401, "Log in, or send a token as `Authorization: Bearer …`.", headers=challenge)
        request[CALLER] = caller.name
        check_right(caller, request, route)
        return caller

    def address(self, request: web.Request) -> str:
        """Where a request comes from, as far as is known."""
        return address_of(request, self._proxies)

    def _payer(self, request: web.Request, digest: bytes) -> str:
        """Whose bucket a request is taken from: an address', until somebody is known."""
        _, caller = self._kept.get(digest, _NEVER)
        return f"as {caller.name}" if caller else f"from {self.address(request)}"

    async def caller(self, request: web.Request) -> Caller | None:
        """Who asks; None where nobody can tell."""
        digest = self.shown(request)
        return await self.known(digest) if digest else None

    def shown(self, request: web.Request) -> bytes:
        """The digest of what a request comes with: a token, a session, or a ticket for one; empty: none.

        A ticket only reads: addresses are kept in histories and in the logs of proxies.
        """
        if secret := secret_of(request):
            return digest_of(secret) if len(secret) <= _LONGEST else b""
        if request.method not in _READING:
            return b""
        return self._tickets.opened(request.query.get(TICKET, ""))

    def ticket(self, digest: bytes) -> str:
        """What stands for a token or a session for a minute, where a client can send no header."""
        return self._tickets.closed(digest, TICKET_SECONDS)

    def forget(self, digest: bytes) -> None:
        """Ask again whose it is, from now on."""
        self._kept.pop(digest, None)

    def forget_all_of(self, name: str) -> None:
        """The same of all that somebody has."""
        for key in [key for key, (_, caller) in self._kept.items() if caller and caller.name == name]:
            del self._kept[key]

    async def known(self, digest: bytes) -> Caller | None:
        """Whose a token or a session is; looked up at most every five seconds."""
        return (await self.all_known([digest]))[digest]

    async def all_known(self, digests: Collection[bytes]) -> Mapping[bytes, Caller | None]:
        """The same of many, by one question."""
        now, found, old = time.monotonic(), dict[bytes, Caller | None](), list[bytes]()
        for digest in digests:
            until, caller = self._kept.get(digest, _NEVER)
            found[digest] = caller
            if until < now:
                old.append(digest)
        if old:
            found |= await self._looked_up(old)
        return found

    async def _looked_up(self, digests: Collection[bytes]) -> Mapping[bytes, Caller | None]:
        callers, until = await self._ask(digests), time.monotonic() + _KEPT_SECONDS
        found = {digest: callers.get(digest) for digest in digests}
        self._kept.update({digest: (until, caller) for digest, caller in found.items()})
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return found


def check_right(caller: Caller, request: web.Request, route: GuardedRoute) -> None:
    """See that somebody may have what is asked for.

    Raises:
        Problem: 403, they may not.
    """
    if route.needs and not caller.may(route.needs):
        raise Problem(403, f"{caller.name} may not do this: it needs the scope `{route.needs}`.")
    if caller.users is not None:
        _check_users(request, route, caller.users)


def secret_of(request: web.Request) -> str:
    """The token or the session that a request comes with; empty: none."""
    kind, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else request.cookies.get(COOKIE, "")


def _check_users(request: web.Request, route: GuardedRoute, users: frozenset[str]) -> None:
    named = [*request.query.getall("user_id", []), request.match_info.get("user_id", "")]
    asked = {one.lower() for one in named if one}
    if not (route.names_user and asked and asked <= users):
        raise Problem(403, "This token is for some users alone: name one of them as `user_id`.")
