"""How clients of Kafka connect: which settings fit together, certificates that change, tokens."""

import asyncio
import os
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from infra.runtime.addresses import KafkaAccess
from infra.runtime.kafka_access import TokenError, access_options
from infra.runtime.settings import Settings, SettingsError
from tests.support.certificates import Authority

SECRET = SecretStr("a secret")


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"SECURITY": "SASL_SSL"}, "TXNWATCH_KAFKA_USER and TXNWATCH_KAFKA_PASSWORD"),
        ({"USER": "ann", "PASSWORD": "a secret"}, "TXNWATCH_KAFKA_USER and TXNWATCH_KAFKA_PASSWORD"),
        ({"SECURITY": "SSL", "CERTIFICATE": "a.pem"}, "TXNWATCH_KAFKA_CERTIFICATE and TXNWATCH_KAFKA_KEY"),
        ({"CA": "ca.pem"}, "TXNWATCH_KAFKA_SECURITY"),
        ({"TOKEN_URL": "http://localhost/token"}, "TXNWATCH_KAFKA_TOKEN_URL"),
        ({"TOKEN_URL": "http://ann:a secret@localhost/"}, "TXNWATCH_KAFKA_TOKEN_URL"),
        ({"SECURITY": "TLS"}, "TXNWATCH_KAFKA_SECURITY"),
    ],
)
def test_what_does_not_fit_together_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"TXNWATCH_KAFKA_{name}", value)

    with pytest.raises(SettingsError) as refused:
        Settings.load()

    assert refused.value.message.startswith(f"{named}: ")
    assert "a secret" not in refused.value.message


def test_without_settings_nothing_is_asked() -> None:
    assert access_options(Settings.load().access) == {"security_protocol": "PLAINTEXT"}


def names_of(certificate: Any) -> list[str]:
    return [value for part in certificate["subject"] for name, value in part if name == "commonName"]


@asynccontextmanager
async def asking_for_certificates(authority: Authority, pem: Path) -> AsyncIterator[tuple[int, list[str]]]:
    """A TLS server's port, and the names in the certificates of its clients."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(pem)
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(names_of(writer.get_extra_info("peercert")))
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1], seen


async def test_certificates_that_change_are_read_again(tmp_path: Path) -> None:
    authority, path, other = Authority.new("ours"), tmp_path / "client.pem", Authority.new("other")
    ca = authority.write(tmp_path / "ca.pem")
    path.write_bytes(authority.give("the first"))
    access = KafkaAccess("SSL", ca=str(ca), certificate=str(path), key=str(path))
    (server := tmp_path / "server.pem").write_bytes(authority.give("server"))
    async with asking_for_certificates(authority, server) as (port, seen):

        async def connect() -> None:
            context = access_options(access)["ssl_context"]
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(b"x")
            writer.close()
            await writer.wait_closed()

        await connect()
        for at, content in enumerate((b"half of a certif", authority.give("the second"))):
            path.write_bytes(content)
            os.utime(path, ns=(at + 1, at + 1))
            await connect()
        other.write(ca)
        os.utime(ca, ns=(1, 1))
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect()

    assert seen == ["the first", "the first", "the second"]


@asynccontextmanager
async def giving_tokens(answers: list[web.Response]) -> AsyncIterator[tuple[str, list[str]]]:
    """A URL that gives these answers in turn, and the forms that were sent with the right login."""
    asked: list[str] = []

    async def give(request: web.Request) -> web.Response:
        if b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"ann:a+secret":
            asked.append(await request.text())
        return answers.pop(0)

    app = web.Application()
    app.router.add_post("/token", give)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/token", asked
    finally:
        await runner.cleanup()


def by_tokens(url: str) -> KafkaAccess:
    return KafkaAccess("SASL_SSL", login="OAUTHBEARER", user="ann", password=SECRET, token_url=url)


def given(token: str, seconds: float) -> web.Response:
    return web.json_response({"access_token": token, "expires_in": seconds, "token_type": "Bearer"})


async def test_a_token_is_asked_for_again_before_it_expires() -> None:
    answers = [given("short", 29), given("long", 3600)]
    async with giving_tokens(answers) as (url, asked):
        access = by_tokens(url)._replace(token_scope="kafka")  # noqa: S106 - no secret
        options = access_options(access)
        tokens = [await options["sasl_oauth_token_provider"].token() for _ in range(3)]

    assert tokens == ["short", "long", "long"]
    assert asked == ["grant_type=client_credentials&scope=kafka"] * 2
    assert options["sasl_mechanism"] == "OAUTHBEARER"


@pytest.mark.parametrize(
    ("answer", "said"), [(web.Response(status=401), "answers 401"), (web.Response(text="{}"), "access_token")]
)
async def test_a_token_that_is_not_given(answer: web.Response, said: str) -> None:
    async with giving_tokens([answer]) as (url, _):
        access = by_tokens(url)
        with pytest.raises(TokenError, match=rf"TXNWATCH_KAFKA_TOKEN_URL gives no token: .*{said}"):
            await access_options(access)["sasl_oauth_token_provider"].token()
