"""Logging in by an OpenID Connect provider: there, and back with a code, to a session as by a password."""

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import hdrs, web

from api.routes.session import begin_cookie, cookie_options
from api.settings import Settings
from api.web.params import query, text
from api.web.problems import Problem, Unavailable
from api.web.route import Route
from api.web.seals import Seals
from infra.access import store
from infra.access.provider import Provider, ProviderAwayError, ProviderError
from infra.access.secrets import new_token
from infra.access.store import AccountError, Identity
from infra.database import session
from infra.runtime.audit_trail import note
from schemas.access import NAME, Scope

_COOKIE = "txnwatch_login"
_SECONDS = 600
"""How long somebody may take to log in there."""
_SEED = 32
_OURS = re.compile(r"(docs|dashboard)([?#][!-~]*)?")
"""Pages to go to afterwards: relative to our own address, so that no other site is among them."""
_CODE = 4_000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class WayToProvider:
    """Where somebody was going to."""

    next: str = query(text(2_000, "dashboard"), "The page of ours to go to then.", default="", blank=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """What the provider sends people back with; it may have more."""

    code: str = query(
        text(_CODE, "SplxlOBeZQQYbYS6WxSbIA"), "What it changes into tokens.", default="", blank=True
    )
    state: str = query(text(_CODE, "af0ifjsldkj"), "What was sent along.", default="", blank=True)
    error: str = query(text(_CODE, "access_denied"), "Why nobody logged in.", default="", blank=True)
    iss: str = query(text(_CODE, "https://login.example"), "Who says so.", default="", blank=True)


class _Begun(NamedTuple):
    """A login that was begun by the browser that has the cookie: all that it takes is derived from a seed."""

    seals: Seals
    seed: bytes
    next: str

    @property
    def state(self) -> str:
        return self._derived(b"state")

    @property
    def nonce(self) -> str:
        return self._derived(b"nonce")

    @property
    def verifier(self) -> str:
        return self._derived(b"verifier")

    def _derived(self, what: bytes) -> str:
        return urlsafe_b64encode(self.seals.derived(what + self.seed)).rstrip(b"=").decode()


@dataclass(frozen=True)
class ProviderRoutes:
    """`/session/provider…`."""

    provider: Provider
    settings: Settings
    seals: Seals

    @Route(
        "/session/provider",
        "session_provider",
        parameters=WayToProvider,
        status=303,
        media="",
        depends=True,
        needs=None,
    )
    async def there(self, request: web.Request, query: WayToProvider) -> web.Response:
        """Log in by the provider."""
        page = query.next if _OURS.fullmatch(query.next) else "dashboard"
        begun = _Begun(self.seals, secrets.token_bytes(_SEED), page)
        async with _answering():
            address = await self.provider.address(begun.state, begun.nonce, begun.verifier)
        response = _elsewhere(address)
        kept = self.seals.closed(begun.seed + page.encode(), _SECONDS)
        response.set_cookie(_COOKIE, kept, max_age=_SECONDS, **cookie_options(self.settings, request))
        return response

    @Route(
        "/session/provider/callback",
        "session_provider_callback",
        parameters=WayBack,
        status=303,
        media="",
        depends=True,
        needs=None,
        others_ignored=True,
    )
    async def back(self, request: web.Request, query: WayBack) -> web.Response:
        """Come back from the provider: the answer sets a cookie."""
        begun = self._begun(request, query)
        async with _answering():
            claims = await self.provider.claims(query.code, begun.nonce, begun.verifier)
        secret = new_token("ses")
        await self._begin(claims, secret)
        response = _elsewhere(f"{self.settings.oidc_url.rstrip('/')}/{begun.next}")
        begin_cookie(response, secret, self.settings, request)
        response.del_cookie(_COOKIE, **cookie_options(self.settings, request))
        return response

    def _begun(self, request: web.Request, query: WayBack) -> _Begun:
        """The login that this is the end of.

        Raises:
            Problem: 401, it is of none that this browser began, or of none that ended well.
        """
        kept = self.seals.opened(request.cookies.get(_COOKIE, ""))
        begun = _Begun(self.seals, kept[:_SEED], kept[_SEED:].decode())
        if not kept or not hmac.compare_digest(begun.state.encode(), query.state.encode()):
            raise Problem(401, "This login was not begun in this browser, or took too long: begin it again.")
        if query.error or not query.code:
            raise Problem(401, f"Nobody was logged in: {query.error[:100] or 'the provider gives no code'}.")
        if query.iss not in {"", self.settings.oidc_issuer}:
            raise Problem(401, "Another provider answers than was asked.")
        return begun

    async def _begin(self, claims: Mapping[str, Any], secret: str) -> None:
        """Begin a session for the user that these claims name; `secret` is its cookie's.

        Raises:
            Problem: 403, they have no rights here, or no name.
        """
        settings = self.settings
        identity = Identity(settings.oidc_issuer, str(claims["sub"]), _name(claims, settings.oidc_name_claim))
        allowed = _scopes(settings.rights, _groups(claims, settings.oidc_rights_claim))
        async with session(settings.postgres.get_secret_value(), store.WRITE) as connection:
            if not allowed:
                await note(connection, identity.name, "not logged in", identity.name)
                raise Problem(
                    403, f"{identity.name} has no rights here: TXNWATCH_OIDC_RIGHTS has none for it."
                )
            try:
                async with connection.transaction():
                    account = await store.provide_account(connection, identity, allowed)
                    await store.begin_session(connection, account, secret, settings.session_hours * 3600)
            except AccountError as error:
                raise Problem(403, f"Nobody was logged in: {error}.") from None


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """What the provider refuses, or does not answer, is a problem of the request."""
    try:
        yield
    except ProviderError as error:
        raise Problem(401, str(error)) from None
    except ProviderAwayError as error:
        raise Unavailable(f"The provider of logins does not answer: {error}.") from None


def _elsewhere(address: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: address, "Cache-Control": "no-store"})


def _name(claims: Mapping[str, Any], claim: str) -> str:
    name = claims.get(claim)
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise Problem(
            403, f"The provider gives no name: its claim {claim} has to be {NAME} (TXNWATCH_OIDC_NAME_CLAIM)."
        )
    if claim == "email" and claims.get("email_verified") is False:
        raise Problem(403, "The provider has not verified this e-mail address.")
    return name


def _groups(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    """What the claim has, which may be within objects or have dots in its name."""
    found: Any = claims.get(claim)
    if found is None:
        found = claims
        for part in claim.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    several = found if isinstance(found, list) else [found]
    return frozenset(one for one in several if isinstance(one, str))


def _scopes(rights: Mapping[str, frozenset[Scope]], groups: Collection[str]) -> frozenset[Scope]:
    return frozenset().union(*(rights.get(group, frozenset()) for group in {"*", *groups}))
