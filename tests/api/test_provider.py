"""Logging in by an OpenID Connect provider, as it should be, and as an attacker would."""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from aiohttp import hdrs
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from api.settings import Settings
from api.web.gate import COOKIE
from infra.access import store
from infra.access.secrets import hashed
from schemas.access import Scope
from tests.support.identity_provider import ANN, CLIENT, SECRET, IdentityProvider, identity_provider, new_key
from tests.support.serving import Client, serving, settings_from

URL = "http://localhost/txn"
"""Where browsers find the API, as the provider is told."""
PASSWORD = "a password of hers"  # noqa: S105 - of this test's alone
RIGHTS = {"fraud": ["read", "label"], "leads": ["decide"]}
BEGIN, BACK = "/session/provider", "/session/provider/callback"


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    async with identity_provider() as one:
        yield one


@pytest.fixture
def settings(pages_settings: Settings, provider: IdentityProvider) -> Settings:
    more = {
        "TXNWATCH_OIDC_ISSUER": provider.url, "TXNWATCH_OIDC_CLIENT_ID": CLIENT,
        "TXNWATCH_OIDC_CLIENT_SECRET": SECRET, "TXNWATCH_OIDC_URL": URL,
        "TXNWATCH_OIDC_RIGHTS": json.dumps(RIGHTS), "TXNWATCH_API_LOGIN": "required",
    }  # fmt: skip
    services = {"POSTGRES_URL": pages_settings.postgres, "REDIS_URL": pages_settings.redis}
    return settings_from({**{name: url.get_secret_value() for name, url in services.items()}, **more})


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    async with serving(settings) as one:
        yield one


async def back_from(client: Client, provider: IdentityProvider, page: str = "") -> dict[str, str]:
    """Begins a login, and logs in at the provider: what one comes back with."""
    async with client.get(BEGIN, params={"next": page}, allow_redirects=False) as response:
        assert response.status == 303, await response.text()
        there = response.headers[hdrs.LOCATION]
    assert there.startswith(f"{provider.url}/authorize?")
    async with client.session.get(there, allow_redirects=False) as response:
        back = response.headers[hdrs.LOCATION]
    assert back.startswith(f"{URL}{BACK}?")
    return {name: value for name, [value] in parse_qs(urlsplit(back).query).items()}


async def answered(client: Client, query: dict[str, str]) -> tuple[int, str]:
    """What the callback answers: where to, or why not."""
    async with client.get(BACK, params=query, allow_redirects=False) as response:
        if response.status == 303:
            return 303, response.headers[hdrs.LOCATION]
        assert COOKIE not in response.cookies
        return response.status, (await response.json())["detail"]


async def session_of(client: Client) -> dict[str, Any]:
    async with client.get("/session") as response:
        found: dict[str, Any] = await response.json()
        return found


async def test_who_logs_in_there_has_the_rights_of_the_groups(
    client: Client, provider: IdentityProvider, pages_settings: Settings
) -> None:
    assert (await session_of(client))["provider"] == "single sign-on"
    query = await back_from(client, provider, "dashboard#/users/7")
    assert await answered(client, query) == (303, f"{URL}/dashboard#/users/7")
    assert await session_of(client) == {
        "required": True, "name": "ann@example.org", "scopes": ["label", "read"],
        "provider": "single sign-on",
    }  # fmt: skip

    provider.claims |= {"groups": ["leads", "others"], "email": "ann@other.example"}  # of the same subject
    assert (await answered(client, await back_from(client, provider)))[0] == 303
    session = await session_of(client)
    assert (session["name"], session["scopes"]) == ("ann@example.org", ["decide"])
    async with client.delete("/session") as response:
        assert (await response.json())["name"] == ""
    assert (await answered(client, query))[0] == 401  # once alone
    assert await logged(pages_settings) == [
        "account made", "logged in", "rights changed", "logged in", "logged out",
    ]  # fmt: skip


async def log_out(client: Client, path: str = "/session") -> str:
    """Where one is sent to log out at the provider, too."""
    async with client.delete(path) as response:
        assert response.status == 200
        elsewhere: str = (await response.json())["elsewhere"]
    assert (await session_of(client))["name"] == ""
    return elsewhere


async def test_who_logs_out_is_sent_to_log_out_there_where_that_is_wanted(
    client: Client, settings: Settings, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.access.provider._KEPT_SECONDS", 0.0)
    says = {"end_session_endpoint": f"{provider.url}/logout?of=ours"}
    provider.document = says
    assert (await answered(client, await back_from(client, provider)))[0] == 303
    assert await log_out(client) == ""
    async with serving(settings, oidc_log_out=True) as asking:
        for path in ("/session", "/sessions"):
            assert (await answered(asking, await back_from(asking, provider)))[0] == 303
            there = await log_out(asking, path)
            assert there.startswith(f"{provider.url}/logout?of=ours&client_id={CLIENT}&")
            async with client.session.get(there, allow_redirects=False) as response:
                assert response.headers[hdrs.LOCATION] == f"{URL}/login"
        async with asking.get("/login", params={"state": "of some providers"}) as response:
            assert response.status == 200

        for document in ({}, {"end_session_endpoint": "http://attacker.example/logout"}, {"jwks_uri": None}):
            provider.document = says
            assert (await answered(asking, await back_from(asking, provider)))[0] == 303
            provider.document = document
            assert await log_out(asking) == ""
        provider.document = says
        await with_a_password(settings)
        async with asking.post("/session", json={"name": "eve", "password": PASSWORD}) as response:
            assert response.status == 200
        assert await log_out(asking) == ""


async def with_a_password(settings: Settings) -> None:
    connection = await asyncpg.connect(settings.postgres.get_secret_value())
    await store.add_account(connection, "eve", hashed(PASSWORD), [Scope.READ], "test")
    await connection.close()


async def logged(settings: Settings) -> list[str]:
    connection = await asyncpg.connect(settings.postgres.get_secret_value())
    rows = await connection.fetch("SELECT what FROM access_log WHERE whom LIKE 'ann%' ORDER BY at")
    await connection.close()
    return [row["what"] for row in rows]


Falsify = Callable[[IdentityProvider], None]


def claiming(**claims: Any) -> Falsify:
    def falsify(provider: IdentityProvider) -> None:
        provider.claims |= claims

    return falsify


def unsigned(provider: IdentityProvider) -> None:
    def token(claims: dict[str, Any]) -> str:
        parts = (json.dumps(one).encode() for one in ({"alg": "none"}, claims))
        return ".".join(urlsafe_b64encode(one).rstrip(b"=").decode() for one in parts) + "."

    provider.sign = token


def signed_with_the_public_key(provider: IdentityProvider) -> None:
    public = provider.keys[0].as_pem(private=False)

    def token(claims: dict[str, Any]) -> str:
        header = {"alg": "HS256", "kid": "first"}
        return jwt.encode(header, claims, OctKey.import_key(public.hex()), algorithms=["HS256"])

    provider.sign = token


def signed_by_another(provider: IdentityProvider) -> None:
    other = IdentityProvider(keys=[new_key("first")])
    provider.sign = other.signed


def changed_afterwards(provider: IdentityProvider) -> None:
    def token(claims: dict[str, Any]) -> str:
        head, _, seal = provider.signed(claims).split(".")
        other = urlsafe_b64encode(json.dumps(claims | {"groups": ["leads"]}).encode()).rstrip(b"=").decode()
        return f"{head}.{other}.{seal}"

    provider.sign = token


FALSE: list[Falsify] = [
    claiming(nonce="another"), claiming(nonce=None), claiming(aud="another"), claiming(aud=None),
    claiming(aud=[CLIENT, "another"]), claiming(azp="another"), claiming(iss="https://attacker.example"),
    claiming(exp=int(time.time()) - 3600), claiming(exp=None), claiming(iat=int(time.time()) + 36_000),
    claiming(sub=None), claiming(sub=4711), unsigned, signed_with_the_public_key, signed_by_another,
    changed_afterwards, lambda provider: setattr(provider, "sign", lambda _: "no token"),
]  # fmt: skip


async def test_a_false_token_logs_nobody_in(client: Client, provider: IdentityProvider) -> None:
    for number, falsify in enumerate(FALSE):
        provider.claims, provider.sign = dict(ANN), None
        falsify(provider)
        status, why = await answered(client, await back_from(client, provider))

        assert status == 401, number
        assert why.startswith("The provider's token is not accepted: "), (number, why)
    assert (await session_of(client))["name"] == ""


async def test_another_answer_than_was_asked_for_logs_nobody_in(
    client: Client, provider: IdentityProvider
) -> None:
    for name, given, expected in (
        ("state", "another", "not begun in this browser"), ("state", "", "not begun in this browser"),
        ("code", "made-up", "does not take the code (invalid_grant)"), ("code", "", "gives no code"),
        ("error", "access_denied", "access_denied"), ("iss", "https://attacker.example", "Another provider"),
    ):  # fmt: skip
        status, why = await answered(client, await back_from(client, provider) | {name: given})

        assert (status, expected in why) == (401, True), why
    assert (await session_of(client))["name"] == ""


async def test_a_login_that_another_browser_began_is_none(client: Client, provider: IdentityProvider) -> None:
    attackers = await back_from(client, provider)
    client.session.cookie_jar.clear()
    assert (await answered(client, attackers))[0] == 401
    await back_from(client, provider)  # the victim has begun one, too
    assert (await answered(client, attackers))[0] == 401


async def test_no_other_site_is_gone_to(client: Client, provider: IdentityProvider) -> None:
    for page in (
        "https://attacker.example", "//attacker.example", "/\\attacker.example", "dashboard.attacker.example",
        "dashboard@attacker.example", "docs/../..//attacker.example", "javascript:alert(1)", "dashboard?a b",
    ):  # fmt: skip
        assert await answered(client, await back_from(client, provider, page)) == (303, f"{URL}/dashboard")


async def test_keys_that_the_provider_changes_are_read_again(
    client: Client, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.access.provider._AGAIN_SECONDS", 0.0)
    assert (await answered(client, await back_from(client, provider)))[0] == 303
    provider.keys = [*provider.keys, ECKey.generate_key("P-256", {"kid": "second"})]
    assert (await answered(client, await back_from(client, provider)))[0] == 303
    assert (await answered(client, await back_from(client, provider)))[0] == 303
    assert provider.asked.count("/keys") == 2


async def test_who_has_no_rights_or_anothers_name_is_not_logged_in(
    client: Client, provider: IdentityProvider, pages_settings: Settings
) -> None:
    connection = await asyncpg.connect(pages_settings.postgres.get_secret_value())
    await store.add_account(connection, "eve", "no password", [Scope.ADMIN], "test")
    await connection.close()
    claims: list[tuple[dict[str, Any], str]] = [
        ({"groups": ["others"]}, "has no rights here"), ({"groups": None}, "has no rights here"),
        ({"groups": {"fraud": True}}, "has no rights here"), ({"email": None}, "gives no name"),
        ({"email": "two words"}, "gives no name"), ({"email_verified": False}, "has not verified"),
        ({"email": "eve"}, "there is another account eve"),
    ]  # fmt: skip
    for claim, why in claims:
        provider.claims = ANN | claim
        status, said = await answered(client, await back_from(client, provider))

        assert (status, why in said) == (403, True), said


async def test_an_account_by_the_provider_has_no_password(client: Client, provider: IdentityProvider) -> None:
    assert (await answered(client, await back_from(client, provider)))[0] == 303
    client.session.cookie_jar.clear()
    async with client.post("/session", json={"name": "ann@example.org", "password": "None"}) as response:
        assert response.status == 401


async def test_a_provider_that_answers_otherwise_is_away(client: Client, provider: IdentityProvider) -> None:
    documents: list[dict[str, Any]] = [
        {"issuer": "https://attacker.example"}, {"token_endpoint": "http://attacker.example/token"},
        {"jwks_uri": "file:///etc/passwd"}, {"jwks_uri": None}, {"text": "x" * (1 << 20)},
    ]  # fmt: skip
    for provider.document in documents:
        async with client.get(BEGIN, allow_redirects=False) as response:
            assert response.status == 503
            assert "provider of logins" in (await response.json())["detail"]
    async with client.get(BEGIN, headers={hdrs.ACCEPT: "text/html"}, allow_redirects=False) as response:
        assert (response.status, response.content_type) == (503, "text/html")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"TXNWATCH_OIDC_CLIENT_ID": ""}, "CLIENT_ID"), ({"TXNWATCH_OIDC_RIGHTS": ""}, "RIGHTS"),
        ({"TXNWATCH_OIDC_RIGHTS": '{"a": ["everything"]}'}, "RIGHTS"), ({"TXNWATCH_OIDC_URL": "txn"}, "URL"),
        ({"TXNWATCH_OIDC_ISSUER": "http://login.example"}, "TXNWATCH_OIDC_ISSUER"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_named(change: dict[str, str], named: str) -> None:
    whole = {
        "TXNWATCH_OIDC_ISSUER": "https://login.example", "TXNWATCH_OIDC_CLIENT_ID": CLIENT,
        "TXNWATCH_OIDC_URL": "https://txn.example", "TXNWATCH_OIDC_RIGHTS": json.dumps(RIGHTS),
    }  # fmt: skip
    assert settings_from(whole).provider
    with pytest.raises(ValueError, match=named):
        settings_from(whole | change)
