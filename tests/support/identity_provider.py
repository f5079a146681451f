"""A small OpenID Connect provider: real HTTP, real keys, and the ways in which one may be false."""

import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

ANN = {"sub": "4711", "email": "ann@example.org", "groups": ["fraud"]}
CLIENT, SECRET = "txnwatch", "a secret: of the client"


@dataclass
class IdentityProvider:
    """Logs everybody in at once, as `claims` say."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=lambda: dict(ANN))
    """What is said of who logs in; a value None leaves a claim out."""
    keys: list[RSAKey | ECKey] = field(default_factory=lambda: [new_key("first")])
    sign: Any = None
    """Makes a token of claims, in place of signing them with the last key."""
    document: dict[str, Any] = field(default_factory=dict)
    """What its document has otherwise."""
    asked: list[str] = field(default_factory=list)
    """The paths that it was asked for."""
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    async def configuration(self, _: web.Request) -> web.Response:
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }
        return web.json_response(found | self.document)

    async def authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        assert asked["client_id"] == CLIENT
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.url, "session_state": "of Keycloak"}
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode(back)}")

    async def token(self, request: web.Request) -> web.Response:
        given = await request.post()
        asked = self._codes.pop(str(given["code"]), None)
        challenge = sha256(str(given["code_verifier"]).encode()).digest()
        shown = request.headers.get("Authorization", "").removeprefix("Basic ")
        is_right = b64decode(shown) == b"txnwatch:a%20secret%3A%20of%20the%20client" and asked is not None
        if not is_right or asked is None or asked["redirect_uri"] != given["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        assert asked["code_challenge"] == urlsafe_b64encode(challenge).rstrip(b"=").decode()
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "nonce": asked["nonce"], "iat": now, "exp": now + 300}
        claims |= self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        return web.json_response({"token_type": "Bearer", "id_token": (self.sign or self.signed)(claims)})

    def signed(self, claims: dict[str, Any]) -> str:
        """By the last key."""
        key = self.keys[-1]
        algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
        return jwt.encode({"alg": algorithm, "kid": key.kid}, claims, key, algorithms=[algorithm])

    async def log_out(self, request: web.Request) -> web.Response:
        assert request.query["client_id"] == CLIENT
        raise web.HTTPFound(request.query["post_logout_redirect_uri"])

    async def published(self, _: web.Request) -> web.Response:
        return web.json_response(KeySet([*self.keys]).as_dict(private=False))


def new_key(name: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})


@asynccontextmanager
async def identity_provider() -> AsyncIterator[IdentityProvider]:
    """One that runs while the block does."""
    provider = IdentityProvider()
    app = web.Application()

    @web.middleware
    async def noting(request: web.Request, handler: Any) -> web.StreamResponse:
        provider.asked.append(request.path)
        response: web.StreamResponse = await handler(request)
        return response

    app.middlewares.append(noting)
    app.router.add_get("/.well-known/openid-configuration", provider.configuration)
    app.router.add_get("/authorize", provider.authorize)
    app.router.add_post("/token", provider.token)
    app.router.add_get("/keys", provider.published)
    app.router.add_get("/logout", provider.log_out)
    async with TestServer(app) as server:
        provider.url = str(server.make_url("")).rstrip("/")
        yield provider
