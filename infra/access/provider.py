"""Logging in by an OpenID Connect provider: codes with PKCE, and identity tokens that are checked."""

import importlib
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from msgspec import Meta

from infra.runtime.addresses import ProviderAccess, is_safe
from infra.runtime.answers import body_within
from infra.runtime.cli_errors import StopError

SECONDS: Final = 10.0
"""How long the provider may take to answer."""
_MOST_BYTES = 1 << 20
_SIGNED_BY = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
)
"""Signatures by keys of which the public half is published: none at all and HMAC could be anybody's."""
_LEEWAY_SECONDS = 60
_KEPT_SECONDS = 3600.0
_AGAIN_SECONDS = 10.0
"""A key that is not known is looked for at most so often: anybody can name one."""
_SHOWN = 100  # characters of what a provider says


class NoOidcError(StopError):
    """The library that checks tokens is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "TXNWATCH_OIDC_ISSUER needs joserfc, which is not installed: pip install 'txnwatch[oidc]'"
        )


class ProviderError(Exception):
    """A login that is refused; the message says why, without what is secret."""


class ProviderAwayError(Exception):
    """The provider does not answer as it should; the message says how."""


class _Endpoints(msgspec.Struct, frozen=True):
    """What its discovery document says (OpenID Connect Discovery 1.0, 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str = ""
    token_endpoint_auth_methods_supported: Sequence[str] = ("client_secret_basic",)


class _IdToken(msgspec.Struct, frozen=True):
    id_token: Annotated[str, Meta(max_length=100_000)]


class Provider:
    """Asks the provider; what it publishes is kept for an hour, its keys until a token names another.

    Raises:
        NoOidcError: joserfc is not installed.
    """

    def __init__(self, access: ProviderAccess) -> None:
        try:
            self._jwt, self._jwk, self._errors = (
                importlib.import_module(f"joserfc.{name}") for name in ("jwt", "jwk", "errors")
            )
        except ImportError:
            raise NoOidcError from None
        self._access = access
        self._endpoints: tuple[float, _Endpoints] | None = None
        self._keys: tuple[float, Any] | None = None

    async def address(self, state: str, nonce: str, verifier: str) -> str:
        """Where somebody logs in, to come back with a code and this state.

        Raises:
            ProviderAwayError: It does not say where.
        """
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._access.client_id,
            "redirect_uri": self._access.redirect_uri,
            "scope": self._access.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return _with_query((await self._found()).authorization_endpoint, asked)

    async def log_out_address(self, back: str) -> str:
        """Where somebody logs out there, to come back to this page; empty where it does not say where.

        Raises:
            ProviderAwayError: It does not answer.
        """
        there = (await self._found()).end_session_endpoint
        asked = {"client_id": self._access.client_id, "post_logout_redirect_uri": back}
        return there and _with_query(there, asked)

    async def claims(self, code: str, nonce: str, verifier: str) -> dict[str, Any]:
        """What the provider says of who came back with this code.

        Raises:
            ProviderError: The code or the token is not good.
            ProviderAwayError: It does not answer.
        """
        found = await self._found()
        answer = await self._answer("POST", found.token_endpoint, self._exchange(found, code, verifier))
        tokens = _decoded(answer, _IdToken)
        try:
            claims = await self._checked(found, tokens.id_token, nonce)
        except (self._errors.JoseError, ValueError, TypeError) as error:
            why = (
                getattr(error, "description", None) or getattr(error, "error", "") or "it is no signed token"
            )
            raise ProviderError(f"The provider's token is not accepted: {why[:_SHOWN]}") from None
        others = claims["aud"] if isinstance(claims["aud"], list) else []
        if claims.get("azp", self._access.client_id if len(others) <= 1 else "") != self._access.client_id:
            raise ProviderError("The provider's token is not accepted: it is for somebody else (azp).")
        return claims

    def _exchange(self, found: _Endpoints, code: str, verifier: str) -> dict[str, Any]:
        """The request that changes a code into tokens (RFC 6749, 4.1.3, and 2.3.1 for who asks)."""
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._access.redirect_uri,
            "client_id": self._access.client_id,
            "code_verifier": verifier,
        }
        secret = self._access.client_secret.get_secret_value()
        if not secret:
            return {"data": body}
        if "client_secret_basic" not in found.token_endpoint_auth_methods_supported:
            return {"data": {**body, "client_secret": secret}}
        shown = f"{quote(self._access.client_id, safe='')}:{quote(secret, safe='')}"
        return {"data": body, "headers": {"Authorization": f"Basic {b64encode(shown.encode()).decode()}"}}

    async def _checked(self, found: _Endpoints, text: str, nonce: str) -> dict[str, Any]:
        try:
            token = self._jwt.decode(text, await self._published(found), algorithms=_SIGNED_BY)
        except (self._errors.InvalidKeyIdError, self._errors.BadSignatureError):
            # Its keys may have changed since we looked, also those without names.
            keys = await self._published(found, least=time.monotonic() - _AGAIN_SECONDS)
            token = self._jwt.decode(text, keys, algorithms=_SIGNED_BY)
        wanted: dict[str, Any] = {
            name: {"essential": True, "value": value}
            for name, value in (("iss", found.issuer), ("aud", self._access.client_id), ("nonce", nonce))
        }
        needed = {name: {"essential": True} for name in ("sub", "exp", "iat")}
        self._jwt.JWTClaimsRegistry(leeway=_LEEWAY_SECONDS, **wanted, **needed).validate(token.claims)
        claims: dict[str, Any] = token.claims
        return claims

    async def _published(self, found: _Endpoints, *, least: float | None = None) -> Any:
        """The keys it signs with, not older than that."""
        oldest = time.monotonic() - _KEPT_SECONDS if least is None else least
        if self._keys is None or self._keys[0] < oldest:
            answer = await self._answer("GET", found.jwks_uri, {})
            keys = self._jwk.KeySet.import_key_set(_decoded(answer, dict))
            self._keys = time.monotonic(), keys
        return self._keys[1]

    async def _found(self) -> _Endpoints:
        if self._endpoints is None or self._endpoints[0] < time.monotonic() - _KEPT_SECONDS:
            there = f"{self._access.issuer.rstrip('/')}/.well-known/openid-configuration"
            found = _decoded(await self._answer("GET", there, {}), _Endpoints)
            if found.issuer != self._access.issuer:
                raise ProviderAwayError("it says that it is another than TXNWATCH_OIDC_ISSUER")
            named = found.authorization_endpoint, found.token_endpoint, found.jwks_uri
            for address in (*named, found.end_session_endpoint):
                if address and not is_safe(address):
                    raise ProviderAwayError("it names addresses without TLS")
            self._endpoints = time.monotonic(), found
        return self._endpoints[1]

    async def _answer(self, method: str, url: str, asked: dict[str, Any]) -> bytes:
        """The body of its answer, of 1 MiB at the most."""
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, url, allow_redirects=False, **asked) as response,
            ):
                body = await body_within(response, _MOST_BYTES)
                if body is None:
                    raise ProviderAwayError("its answer is larger than 1 MiB")
                if method == "POST" and response.status in {400, 401}:
                    raise ProviderError(f"The provider does not take the code{_error_in(body)}.")
                if response.status != 200:  # noqa: PLR2004 - OK
                    raise ProviderAwayError(f"it answers {response.status}")
                return body
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ProviderAwayError(type(error).__name__) from None


def _with_query(address: str, asked: dict[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"


def _error_in(body: bytes) -> str:
    """What kind of error it says it is, in brackets (RFC 6749, 5.2)."""
    try:
        kind = str(msgspec.json.decode(body, type=dict[str, Any])["error"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return ""
    return f" ({kind[:_SHOWN]})" if kind.isprintable() else ""


def _decoded(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProviderAwayError("its answer is not what OpenID Connect says") from None
