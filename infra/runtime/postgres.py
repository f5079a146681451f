"""Postgres as all parts of txnwatch use it: what its errors mean, and what every session needs."""

import asyncio
import ssl
from contextlib import suppress

import asyncpg

PASSING_CLASSES = {
    "08": "the connection broke, or could not be made",
    "40": "rolled back: a deadlock, or a transaction that has to be repeated",
    "53": "no connections, memory or disk space left",
    "57": "an operator stops, restarts or cancels; it starts up",
}
"""Classes of SQLSTATE after which the same statement may succeed when it is sent again."""

PASSING_STATES = {
    "25006": "read-only: a failover is under way",
    "25P03": "the session was idle in its transaction for too long",
    "25P04": "the transaction took too long",
    "55006": "an object is in use",
    "55P03": "a lock is held by others",
    "58030": "an input or output error",
    "72000": "the snapshot is too old",
}
"""Single SQLSTATEs of which the same is true."""

LASTING_STATES = {
    "08P01": "what was sent is not taken: a parameter that a pooler does not know",
    "57P04": "the database was dropped",
}
"""Those of the passing classes of which it is not."""

# Errors without a SQLSTATE: most are of the connection, and pass; these do not.
_OF_CONNECTION = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_LASTING = (asyncpg.ClientConfigurationError, ssl.SSLCertVerificationError)

SESSION = {"txnwatch.session": "whole"}
"""Sent when connecting. A pooler refuses a parameter that it does not know, or drops it, which is seen."""

_SESSION_STATE = """
SELECT current_setting('server_encoding') AS encoding,
    coalesce(current_setting('txnwatch.session', true), '') = 'whole' AS whole
"""
_POOLER = (
    "a pooler such as PgBouncer is between: it does not pass on the limits that sessions need, so give "
    "the address of Postgres itself"
)
_REASONS: dict[type[Exception], str] = {  # the first that fits counts
    asyncpg.InvalidPasswordError: "it refuses the password",
    asyncpg.InvalidAuthorizationSpecificationError: "it refuses the user, or a connection without TLS",
    asyncpg.InvalidCatalogNameError: "there is no such database",
    asyncpg.TooManyConnectionsError: "it has no connection left",
    asyncpg.CannotConnectNowError: "it is starting up or stopping",
    asyncpg.ProtocolViolationError: _POOLER,
    asyncpg.InsufficientPrivilegeError: "its user lacks a right",
    asyncpg.ClientConfigurationError: "a parameter of its URL cannot be used",
    asyncpg.TargetServerAttributeNotMatched: "no server of its URL is of the kind asked for",
    ssl.SSLCertVerificationError: "its certificate is not trusted",
    ssl.SSLError: "no connection with TLS can be made",
    ConnectionRefusedError: "nothing listens at its address",
    FileNotFoundError: "its address is no socket, or a certificate's file that its URL names is not there",
    TimeoutError: "it did not answer in time",
}


class DatabaseError(Exception):
    """The database is not one that this program can work with; the message says what to do."""


async def check_if_up(url: str, seconds: float) -> None:
    """Return where a session is as `check_session` wants it, or nothing answers within so many seconds.

    Raises:
        DatabaseError: It is not.
    """
    with suppress(asyncpg.PostgresError, *_OF_CONNECTION):
        async with asyncio.timeout(seconds):
            connection = await _connected(url)
            try:
                await check_session(connection)
            finally:
                connection.terminate()


async def _connected(url: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(url, server_settings=SESSION)
    except asyncpg.ProtocolViolationError as error:
        raise DatabaseError(_POOLER) from error


async def check_session(connection: asyncpg.Connection | asyncpg.Pool) -> None:
    """Return when texts are kept in UTF-8 and the session has what was sent when it was made (`SESSION`).

    Raises:
        DatabaseError: One of these is not so.
        asyncpg.PostgresError: Postgres could not be asked.
    """
    state = await connection.fetchrow(_SESSION_STATE)
    if state["encoding"] != "UTF8":
        raise DatabaseError(f"its encoding is {state['encoding']}: make the database with ENCODING 'UTF8'")
    if not state["whole"]:
        raise DatabaseError(_POOLER)


def is_transient(error: Exception) -> bool:
    """Whether the same statement may succeed when it is sent again.

    >>> is_transient(asyncpg.DeadlockDetectedError()), is_transient(asyncpg.UndefinedTableError())
    (True, False)
    """
    state = getattr(error, "sqlstate", None)
    if state is None:
        return isinstance(error, _OF_CONNECTION) and not isinstance(error, _LASTING)
    return state not in LASTING_STATES and (state in PASSING_STATES or state[:2] in PASSING_CLASSES)


def reason(error: Exception) -> str:
    """Why it does not answer, without a word of the server's or of the URL; empty where that is not known.

    >>> reason(ConnectionRefusedError()), reason(asyncpg.PostgresError())
    ('nothing listens at its address', '')
    """
    return next((why for kind, why in _REASONS.items() if isinstance(error, kind)), "")
