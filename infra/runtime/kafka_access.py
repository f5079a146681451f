"""How clients of Kafka prove who they are, and see that a broker is who it says; why one is not let in.

Certificates are read again when their files have changed, for the connections that are made from then on.
"""

import asyncio
import ssl
import time
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import msgspec
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from infra.runtime.addresses import KafkaAccess
from infra.runtime.cli_errors import StopError

_LOOK_SECONDS = 4
_CLOSE_SECONDS = 1
_TOKEN_SECONDS = 10
_RENEWED_BEFORE_SECONDS = 30
_REFUSALS = (AuthenticationFailedError, SaslAuthenticationFailed)


class AccessError(StopError):
    """A certificate or key cannot be used; the message names the setting and the file."""


def access_options(access: KafkaAccess) -> dict[str, Any]:
    """The options of a client that say how it connects.

    Raises:
        AccessError: A certificate or key cannot be used.
    """
    options: dict[str, Any] = {"security_protocol": access.security}
    if access.has_tls:
        options["ssl_context"] = _context(access)
    if access.has_login:
        options["sasl_mechanism"] = access.login
    if access.login == "OAUTHBEARER":
        options["sasl_oauth_token_provider"] = _tokens(access)
    elif access.has_login:
        options["sasl_plain_username"] = access.user
        options["sasl_plain_password"] = access.password.get_secret_value()
    return options


def _times(access: KafkaAccess) -> list[int]:
    """When each file was changed; one that is just being replaced has none."""
    there = [Path(path) for path in (access.ca, access.certificate, access.key) if path]
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in there]


def _read(access: KafkaAccess) -> ssl.SSLContext:
    """What connects by the files as they are now.

    Raises:
        AccessError: One cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=access.ca or None)
    except (OSError, ssl.SSLError) as error:
        raise AccessError(f"TXNWATCH_KAFKA_CA: {access.ca}: {_said(error)}") from None
    try:
        if access.certificate:
            context.load_cert_chain(access.certificate, access.key, access.key_password.get_secret_value)
    except (OSError, ssl.SSLError) as error:
        which = f"{access.certificate}, TXNWATCH_KAFKA_KEY {access.key}"
        raise AccessError(f"TXNWATCH_KAFKA_CERTIFICATE {which}: {_said(error)}") from None
    return context


class _RenewedContext(ssl.SSLContext):
    """A context that stands for another, which is made anew when its files have changed."""

    access: KafkaAccess
    times: list[int]
    newest: ssl.SSLContext

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """What asyncio and uvloop begin a connection with."""
        if (times := _times(self.access)) != self.times:
            # Half of a pair may have been replaced: the former ones go on being used until they fit.
            with suppress(AccessError):
                self.newest, self.times = _read(self.access), times
        return self.newest.wrap_bio(*arguments, **options)


@cache
def _context(access: KafkaAccess) -> ssl.SSLContext:
    context = _RenewedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.access, context.times, context.newest = access, _times(access), _read(access)
    return context


@cache
def _tokens(access: KafkaAccess) -> "_Tokens":
    return _Tokens(access)


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float = 300


class UnreachableError(KafkaConnectionError):  # type: ignore[misc]
    """No broker lets us in; the message says why, of each."""

    def __str__(self) -> str:
        """The message alone."""
        return str(self.args[0])


class TokenError(UnreachableError):
    """No token was given."""


class _Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens for OAUTHBEARER, by the client's own name and secret (RFC 6749, section 4.4)."""

    def __init__(self, access: KafkaAccess) -> None:
        self._url = access.token_url
        login = f"{quote_plus(access.user)}:{quote_plus(access.password.get_secret_value())}"
        self._headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}
        scope = {"scope": access.token_scope} if access.token_scope else {}
        self._form = {"grant_type": "client_credentials", **scope}
        self._token, self._until = "", 0.0

    async def token(self) -> str:
        """One that is valid for a while yet.

        Raises:
            TokenError: There is none to be had.
        """
        if time.monotonic() > self._until:
            given = await self._ask()
            self._token = given.access_token
            self._until = time.monotonic() + given.expires_in - _RENEWED_BEFORE_SECONDS
        return self._token

    async def _ask(self) -> _Token:
        timeout = aiohttp.ClientTimeout(_TOKEN_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session,
                session.post(self._url, data=self._form) as response,
            ):
                if response.ok:
                    return msgspec.json.decode(await response.read(), type=_Token)
                why = f"answers {response.status}"
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
            why = _said(error)
        raise TokenError(f"TXNWATCH_KAFKA_TOKEN_URL gives no token: {why}")


async def reason(servers: Sequence[str], access: KafkaAccess) -> str:
    """Why no broker lets us in, in a line; each server is tried once, for a few seconds."""
    tried = [f"{server} {await _tried(server, access)}" for server in servers]
    return "; ".join(tried)


async def _tried(server: str, access: KafkaAccess) -> str:
    host, _, port = server.rpartition(":")
    place = host.strip("[]"), int(port)
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            options = {"request_timeout_ms": _LOOK_SECONDS * 1000, **access_options(access)}
            connection = await create_conn(*place, **options)
            try:
                await connection.send(MetadataRequest([]))
            finally:
                await asyncio.wait([connection.close()], timeout=_CLOSE_SECONDS)
    except (OSError, KafkaError, StopError) as error:
        return _by_error(error, access) or _by_what_it_speaks(await _speaks_tls(*place), error, access)
    return "answers now"


def _by_error(error: Exception, access: KafkaAccess) -> str:
    """What the error alone says; empty where it may have several causes."""
    if isinstance(error, TokenError | AccessError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that TXNWATCH_KAFKA_CA does not vouch for: {error.verify_message}"
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections: nothing listens there"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"takes no login by {access.login} (TXNWATCH_KAFKA_LOGIN)"
    return "refuses TXNWATCH_KAFKA_USER or TXNWATCH_KAFKA_PASSWORD" if isinstance(error, _REFUSALS) else ""


def _by_what_it_speaks(
    tls: bool | None,  # noqa: FBT001 - one of three
    error: Exception,
    access: KafkaAccess,
) -> str:
    if tls is None:
        return f"does not answer: {_said(error)}"
    if tls is not access.has_tls:
        way = "set TXNWATCH_KAFKA_SECURITY to SSL or SASL_SSL" if tls else "see TXNWATCH_KAFKA_SECURITY"
        return f"{'speaks' if tls else 'does not speak'} TLS: {way}"
    if access.has_login:
        return "takes no login: see TXNWATCH_KAFKA_SECURITY"
    certificate = ", or for another TXNWATCH_KAFKA_CERTIFICATE" if tls else ""
    return f"ends the connection: it may ask for a login (TXNWATCH_KAFKA_SECURITY){certificate}"


async def _speaks_tls(host: str, port: int) -> bool | None:
    """Whether something there shakes hands by TLS, whoever it is; None where nothing answers."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=anybody)
    except (ssl.SSLError, ConnectionResetError, asyncio.IncompleteReadError):
        return False
    except OSError:
        return None
    writer.transport.abort()
    return True


def _said(error: BaseException) -> str:
    """What an error says, without where in OpenSSL's code it came from."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
