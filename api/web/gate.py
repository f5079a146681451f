"""Who is let in: every route asks here before it reads a parameter."""

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final, Protocol

import msgspec
from aiohttp import hdrs, web

from api.web.problems import Problem
from infra.access.secrets import digest_of
from infra.runtime.addresses import is_loopback
from schemas.access import Caller, Scope

COOKIE: Final = "txnwatch_session"
TICKET: Final = "ticket"
"""The parameter."""
TICKET_SECONDS: Final = 60
_KEPT_SECONDS = 5.0
"""A token that was taken away, and a session that was ended, are refused after so long."""
_MOST_KEPT = 10_000
_LONGEST = 300  # characters of a secret
_SEAL = 32


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

    `ask` says whose a secret is, `key` signs tickets.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[Caller | None]],
        key: bytes,
        *,
        required: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.required = required
        self._ask, self._clock = ask, clock
        self._key = sha256(b"tickets " + key).digest()
        self._kept: OrderedDict[bytes, tuple[float, Caller | None]] = OrderedDict()

    async def admit(self, request: web.Request, route: GuardedRoute) -> Caller | None:
        """Who asks, where they may have what the route gives; None where nobody has to say.

        Raises:
            Problem: 401 without a token, a session or a ticket that holds; 403 without the scope.
        """
        if not self.required or route.needs is None or (route.probes and _is_near(request)):
            return None
        caller = await self.caller(request)
        if caller is None:
            challenge = {str(hdrs.WWW_AUTHENTICATE): 'Bearer realm="txnwatch"'}
            raise Problem(401, "Log in, or send a token as `Authorization: Bearer …`.", headers=challenge)
        if not caller.may(route.needs):
            raise Problem(403, f"{caller.name} may not do this: it needs the scope `{route.needs}`.")
        if caller.users is not None:
            _check_users(request, route, caller.users)
        return caller

    async def caller(self, request: web.Request) -> Caller | None:
        """Who asks; None where nobody can tell."""
        if secret := secret_of(request):
            return await self.known(secret)
        return self._redeemed(request.query.get(TICKET, ""))

    def ticket(self, caller: Caller) -> str:
        """What stands for a caller for a minute, in an address, where a client can send no header."""
        until = int(time.time()) + TICKET_SECONDS
        said = msgspec.json.encode(_Ticket(caller.name, caller.scopes, caller.users, until))
        return urlsafe_b64encode(self._seal(said) + said).decode()

    def forget(self, secret: str) -> None:
        """Ask again whose a secret is, from now on."""
        self._kept.pop(digest_of(secret), None)

    def forget_all_of(self, name: str) -> None:
        """The same of all that somebody has."""
        for key in [key for key, (_, caller) in self._kept.items() if caller and caller.name == name]:
            del self._kept[key]

    async def known(self, secret: str) -> Caller | None:
        """Whose a token or a session is; looked up at most every five seconds."""
        if not 0 < len(secret) <= _LONGEST:
            return None
        key, now = digest_of(secret), self._clock()
        kept = self._kept.get(key)
        if kept is None or kept[0] < now:
            kept = self._kept[key] = now + _KEPT_SECONDS, await self._ask(secret)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return kept[1]

    def _redeemed(self, ticket: str) -> Caller | None:
        """Whom a ticket stands for; None where it is not ours, or too old."""
        try:
            data = urlsafe_b64decode(ticket)
        except ValueError:
            return None
        seal, said = data[:_SEAL], data[_SEAL:]
        if not said or not hmac.compare_digest(seal, self._seal(said)):
            return None
        its = msgspec.json.decode(said, type=_Ticket)
        return Caller(its.name, its.scopes, its.users) if its.until > time.time() else None

    def _seal(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, "sha256")


class _Ticket(msgspec.Struct, array_like=True):
    name: str
    scopes: frozenset[Scope]
    users: frozenset[str] | None
    until: int


def secret_of(request: web.Request) -> str:
    """The token or the session that a request comes with; empty: none."""
    kind, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else request.cookies.get(COOKIE, "")


def _is_near(request: web.Request) -> bool:
    """Whether it comes from this machine, and by no proxy."""
    forwarded = {"X-Forwarded-For", "Forwarded"} & {*request.headers}
    return not forwarded and is_loopback(request.remote or "")


def _check_users(request: web.Request, route: GuardedRoute, users: frozenset[str]) -> None:
    named = [*request.query.getall("user_id", []), request.match_info.get("user_id", "")]
    asked = {one.lower() for one in named if one}
    if not (route.names_user and asked and asked <= users):
        raise Problem(403, "This token is for some users alone: name one of them as `user_id`.")
