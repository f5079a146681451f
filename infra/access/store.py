"""Accounts, tokens and sessions in Postgres; each change is noted in the access log, with who made it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

import asyncpg

from infra.access.secrets import digest_of
from infra.database import rights
from infra.runtime.cli_errors import StopError
from schemas.access import Caller, Scope, scopes_of

TABLES = ("access_accounts", "access_tokens", "access_sessions")
READ = rights(TABLES, ("SELECT",))
WRITE = [*rights(TABLES, ("SELECT", "INSERT", "UPDATE", "DELETE")), *rights(("access_log",), ("INSERT",))]

Connection: TypeAlias = "asyncpg.Connection | asyncpg.Pool"

_BY_DIGEST = """
SELECT name, scopes, users::text[] FROM access_tokens
WHERE digest = $1 AND (expires_at IS NULL OR expires_at > now())
"""
_BY_SESSION = """
SELECT name, scopes, NULL::text[] FROM access_sessions JOIN access_accounts ON name = account
WHERE digest = $1 AND expires_at > now()
"""
_NOTE = "INSERT INTO access_log (who, what, whom) VALUES ($1, $2, $3)"
_ADD_ACCOUNT = """
INSERT INTO access_accounts (name, password, scopes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""
_ADD = """
INSERT INTO access_tokens (name, digest, scopes, users, expires_at)
VALUES ($1, $2, $3, $4::text[]::uuid[], $5) ON CONFLICT DO NOTHING
"""
_NEW_SESSION = """
INSERT INTO access_sessions (digest, account, expires_at) VALUES ($1, $2, now() + make_interval(secs => $3))
"""


class AccountError(StopError):
    """A change that cannot be made; the message says why."""


class Account(NamedTuple):
    """A person's account."""

    name: str
    scopes: frozenset[Scope]
    made_at: datetime


class AccessToken(NamedTuple):
    """A program's token, without the secret."""

    name: str
    scopes: frozenset[Scope]
    users: frozenset[str] | None
    expires_at: datetime | None


class NewToken(NamedTuple):
    """A token that is to be made."""

    name: str
    secret: str
    scopes: Collection[Scope]
    users: Collection[str] | None
    """The only users that it may know of; None: all."""
    expires_at: datetime | None


async def caller_of(connection: Connection, secret: str) -> Caller | None:
    """Whose token or session this is; None where it is nobody's, ended or expired."""
    digest = digest_of(secret)
    for statement in (_BY_DIGEST, _BY_SESSION):
        if row := await connection.fetchrow(statement, digest):
            name, texts, users = row
            return Caller(name, scopes_of(texts), None if users is None else frozenset(users))
    return None


async def password_of(connection: Connection, name: str) -> str | None:
    """What is kept of an account's password; None where there is no such account."""
    kept: str | None = await connection.fetchval("SELECT password FROM access_accounts WHERE name = $1", name)
    return kept


async def add_account(
    connection: Connection, name: str, password: str, allowed: Collection[Scope], who: str
) -> None:
    """Make an account; `password` is its digest.

    Raises:
        AccountError: There is one of this name.
    """
    if await connection.execute(_ADD_ACCOUNT, name, password, sorted(allowed)) == "INSERT 0 0":
        raise AccountError(f"there is an account {name} already")
    await note(connection, who, "account made", f"{name}: {', '.join(sorted(allowed))}")


async def change_password(connection: Connection, name: str, password: str, who: str) -> None:
    """Give an account another password, and end its sessions.

    Raises:
        AccountError: There is no such account.
    """
    changed = "UPDATE access_accounts SET password = $2 WHERE name = $1"
    if await connection.execute(changed, name, password) == "UPDATE 0":
        raise AccountError(f"there is no account {name}")
    await end_sessions(connection, name)
    await note(connection, who, "password changed", name)


async def remove(connection: Connection, table: str, name: str, who: str) -> None:
    """Take an account with its sessions away, or a token.

    Raises:
        AccountError: There is none of this name.
    """
    what = {"access_accounts": "account", "access_tokens": "token"}[table]
    removed = f"DELETE FROM {table} WHERE name = $1"  # noqa: S608 - one of two
    if await connection.execute(removed, name) == "DELETE 0":
        raise AccountError(f"there is no {what} {name}")
    await note(connection, who, f"{what} removed", name)


async def add_token(connection: Connection, new: NewToken, who: str) -> None:
    """Make a token.

    Raises:
        AccountError: There is one of this name.
    """
    users = None if new.users is None else [*new.users]
    values = new.name, digest_of(new.secret), sorted(new.scopes), users, new.expires_at
    if await connection.execute(_ADD, *values) == "INSERT 0 0":
        raise AccountError(f"there is a token {new.name} already")
    of = "" if users is None else f", {len(users)} users"
    await note(connection, who, "token made", f"{new.name}: {', '.join(sorted(new.scopes))}{of}")


async def accounts(connection: Connection) -> Sequence[Account]:
    """All, in order."""
    rows = await connection.fetch("SELECT name, scopes, made_at FROM access_accounts ORDER BY name")
    return [Account(name, scopes_of(texts), made_at) for name, texts, made_at in rows]


async def tokens(connection: Connection) -> Sequence[AccessToken]:
    """All, in order."""
    columns = "name, scopes, users::text[], expires_at"
    rows = await connection.fetch(f"SELECT {columns} FROM access_tokens ORDER BY name")  # noqa: S608 - constants
    return [
        AccessToken(name, scopes_of(texts), None if users is None else frozenset(users), expires_at)
        for name, texts, users, expires_at in rows
    ]


async def begin_session(connection: Connection, account: str, secret: str, seconds: float) -> None:
    """Have an account be logged in for so long; what has expired goes."""
    await connection.execute("DELETE FROM access_sessions WHERE expires_at < now()")
    await connection.execute(_NEW_SESSION, digest_of(secret), account, seconds)
    await note(connection, account, "logged in", account)


async def end_session(connection: Connection, secret: str) -> None:
    """Log out; without an effect where it has ended."""
    await connection.execute("DELETE FROM access_sessions WHERE digest = $1", digest_of(secret))


async def end_sessions(connection: Connection, account: str) -> None:
    """Log out everywhere."""
    await connection.execute("DELETE FROM access_sessions WHERE account = $1", account)


async def note(connection: Connection, who: str, what: str, whom: str) -> None:
    """Write a line of the access log."""
    await connection.execute(_NOTE, who, what, whom)
