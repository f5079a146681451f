"""Logging in and out: sessions by a cookie, and tickets for clients that can send no header."""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import msgspec
from aiohttp import hdrs, web
from msgspec import Meta

from api.settings import Settings
from api.web.body import JSON, NO_JSON, read_body
from api.web.gate import COOKIE, TICKET_SECONDS, Gate, secret_of
from api.web.params import NoParameters, file_named, path, query, text
from api.web.problems import ParameterError, Problem
from api.web.route import Route, json_response
from api.web.static_files import StaticPage
from infra.access import store
from infra.access.provider import Provider, ProviderAwayError
from infra.access.secrets import LONGEST, digest_of, fits, hashed, new_token
from infra.database import session
from infra.runtime.audit_trail import note
from schemas.access import NAME, Caller

log = logging.getLogger(__name__)

_STATIC = Path(str(files("api.dashboard"))) / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_ATTEMPTS, _PER_SECONDS = 10, 60.0
_MOST_WATCHED = 10_000
_AT_ONCE = 2  # passwords, of which each takes 128 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPage:
    """Where somebody was going to."""

    next: str = query(text(2_000, "dashboard"), "The page of ours to go to then.", default="", blank=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginFile:
    """A file of the login page."""

    file: str = path(file_named("login.js"), "The file's name.")


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who logs in."""

    name: Annotated[str, Meta(pattern=NAME)]
    password: Annotated[str, Meta(max_length=LONGEST)]


class Session(msgspec.Struct, frozen=True):
    """The caller's name and scopes, empty for who is not logged in; `required`: whether one has to be.

    `provider` is what one can log in by beside a password, at `GET /session/provider`; empty: nothing.
    """

    required: bool
    name: str = ""
    scopes: Sequence[str] = ()
    provider: str = ""


class LoggedOut(Session, frozen=True):
    """A session without anybody; `elsewhere` is the address that also logs out at the provider, or empty."""

    elsewhere: str = ""


class Ticket(msgspec.Struct, frozen=True):
    """What stands for the caller as the parameter `ticket` of an address."""

    ticket: str
    expires_in: int = TICKET_SECONDS


class Attempts:
    """How often each name, and each address, has tried lately; those that log in are taken back."""

    def __init__(self) -> None:
        self._tried: OrderedDict[str, deque[float]] = OrderedDict()
        self.room = asyncio.Semaphore(_AT_ONCE)

    def begin(self, *names: str) -> None:
        """One more, counted before its password is looked at, as many may come at once.

        Raises:
            Problem: 429, one of them has tried too often.
        """
        now = time.monotonic()
        for name in names:
            times = self._tried.get(name, deque())
            while times and times[0] < now - _PER_SECONDS:
                times.popleft()
            if len(times) >= _ATTEMPTS:
                wait = str(int(times[0] + _PER_SECONDS - now) + 1)
                raise Problem(429, "Too many attempts: wait a moment.", headers={hdrs.RETRY_AFTER: wait})
        for name in names:
            self._tried.setdefault(name, deque()).append(now)
            self._tried.move_to_end(name)
        while len(self._tried) > _MOST_WATCHED:
            self._tried.popitem(last=False)

    def take_back(self, *names: str) -> None:
        """The last of each: the password was right."""
        for name in names:
            if self._tried.get(name):
                self._tried[name].pop()


@dataclass(frozen=True)
class SessionRoutes:
    """`/login` and `/session…`."""

    gate: Gate
    settings: Settings
    provider: Provider | None = None
    attempts: Attempts = field(default_factory=Attempts)
    files: StaticPage = field(
        default_factory=lambda: StaticPage(
            _STATIC / "login.html",
            [_STATIC / name for name in ("login.js", "style.css", "theme.js", "icon.svg")],
            policy=_POLICY,
        )
    )

    @Route(
        "/login",
        "session_page",
        parameters=LoginPage,
        media="text/html",
        needs=None,
        others_ignored=True,  # a provider may send somebody back with more
    )
    async def page(self, request: web.Request, _: LoginPage) -> web.Response:
        """The page to log in at."""
        return await self.files.page(request)

    @Route("/login/{file}", "session_asset", parameters=LoginFile, media="*/*", finds=True, needs=None)
    async def asset(self, request: web.Request, query: LoginFile) -> web.Response:
        """A file of that page."""
        return await self.files.file(request, query.file)

    @Route("/session", "session_show", body=Session, depends=True, needs=None)
    async def show(self, request: web.Request, _: NoParameters) -> web.Response:
        """Who is logged in."""
        return json_response(self._session(await self.gate.caller(request) if self.gate.required else None))

    @Route(
        "/session",
        "session_begin",
        method="POST",
        takes={JSON: Credentials},
        body=Session,
        depends=True,
        needs=None,
    )
    async def begin(self, request: web.Request, _: NoParameters) -> web.Response:
        """Log in: the answer sets a cookie."""
        given = _decoded(await read_body(request, JSON))
        names, secret = (f"as {given.name}", f"from {self.gate.address(request)}"), new_token("ses")
        self.attempts.begin(*names)
        async with self.attempts.room:
            if not await self._begun(given, secret):
                raise Problem(401, "No such name, or another password.")
        self.attempts.take_back(*names)
        response = json_response(self._session(await self.gate.known(digest_of(secret))))
        begin_cookie(response, secret, self.settings, request)
        return response

    @Route("/session", "session_end", method="DELETE", body=LoggedOut, depends=True, needs=None)
    async def end(self, request: web.Request, _: NoParameters) -> web.Response:
        """Log out here."""
        secret = request.cookies.get(COOKIE, "")
        async with session(self._url, store.WRITE) as connection:
            account = await store.end_session(connection, secret)
            is_theirs = await store.is_of_provider(connection, account)
        return await self._ended(request, is_theirs=is_theirs)

    @Route("/sessions", "session_end_all", method="DELETE", body=LoggedOut, depends=True, needs=None)
    async def end_all(self, request: web.Request, _: NoParameters) -> web.Response:
        """Log out everywhere."""
        secret, is_theirs = request.cookies.get(COOKIE, ""), False
        if secret and (caller := await self.gate.known(digest_of(secret))):
            async with session(self._url, store.WRITE) as connection:
                await store.end_sessions(connection, caller.name)
                await note(connection, caller.name, "logged out everywhere", caller.name)
                is_theirs = await store.is_of_provider(connection, caller.name)
            self.gate.forget_all_of(caller.name)
        return await self._ended(request, is_theirs=is_theirs)

    @Route("/session/ticket", "session_ticket", method="POST", body=Ticket, depends=True, needs=None)
    async def ticket(self, request: web.Request, _: NoParameters) -> web.Response:
        """A ticket for an address that a browser opens without headers, such as a stream's; for a minute."""
        if not self.gate.required:
            raise Problem(422, "Nobody has to log in here: no ticket is needed.")
        # A ticket gives no other.
        if not secret_of(request) or await self.gate.caller(request) is None:
            raise Problem(401, "A ticket is for who is logged in, or has a token.")
        return json_response(Ticket(self.gate.ticket(self.gate.shown(request))))

    @property
    def _url(self) -> str:
        return self.settings.postgres.get_secret_value()

    async def _begun(self, given: Credentials, secret: str) -> bool:
        """Whether the password fits, and a session has begun."""
        async with session(self._url, store.WRITE) as connection:
            kept = await store.password_of(connection, given.name)
            # As long for a name that there is not, so that nobody learns which there are.
            is_right = await asyncio.to_thread(fits, given.password, kept or _nobodys())
            if kept is None or not is_right:
                await note(connection, given.name, "not logged in", given.name)
                return False
            await store.begin_session(connection, given.name, secret, self.settings.session_hours * 3600)
            return True

    def _session(self, caller: Caller | None) -> Session:
        if caller is None:
            return Session(self.gate.required, provider=self._label)
        return Session(self.gate.required, caller.name, sorted(caller.scopes), self._label)

    @property
    def _label(self) -> str:
        return self.settings.oidc_label if self.settings.oidc_issuer and self.gate.required else ""

    async def _elsewhere(self) -> str:
        """Where to log out at the provider; nowhere where it does not answer: here one is logged out."""
        if self.provider is None or not self.settings.oidc_log_out:
            return ""
        try:
            return await self.provider.log_out_address(f"{self.settings.oidc_url.rstrip('/')}/login")
        except ProviderAwayError as error:
            log.warning("the provider of logins does not say where to log out: %s", error)
            return ""

    async def _ended(self, request: web.Request, *, is_theirs: bool) -> web.Response:
        self.gate.forget(digest_of(secret_of(request)))
        elsewhere = await self._elsewhere() if is_theirs else ""
        response = json_response(LoggedOut(self.gate.required, provider=self._label, elsewhere=elsewhere))
        response.del_cookie(COOKIE, **cookie_options(self.settings, request))
        return response


def begin_cookie(response: web.Response, secret: str, settings: Settings, request: web.Request) -> None:
    """Have a browser keep a session."""
    seconds = int(settings.session_hours * 3600)
    response.set_cookie(COOKIE, secret, max_age=seconds, **cookie_options(settings, request))


def cookie_options(settings: Settings, request: web.Request) -> dict[str, Any]:
    """How a cookie is kept: for this service alone, and over TLS alone where the page came so."""
    # Of several proxies the outermost, which the browser talks to, is named first.
    outermost = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
    is_secure = request.secure or outermost == "https"
    return {"path": settings.root_path or "/", "httponly": True, "samesite": "Lax", "secure": is_secure}


@cache
def _nobodys() -> str:
    """The digest of a password that nobody has."""
    return hashed(new_token("nobody"))


def _decoded(data: bytes) -> Credentials:
    try:
        return msgspec.json.decode(data, type=Credentials)
    except NO_JSON as error:
        raise Problem(422, "Not accepted: body.", errors=[ParameterError("body", str(error))]) from None
