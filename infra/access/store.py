"""Accounts, tokens and sessions in Postgres; each change is noted in the access log, with who made it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

import asyncpg

from infra.access.secrets import digest_of
from infra.database import rights
from infra.noting import NOTES
from infra.runtime.audit_trail import note
from infra.runtime.cli_errors import StopError
from schemas.access import Caller, Scope, scopes_of

TABLES = ("access_accounts", "access_tokens", "access_sessions")
READ = rights(TABLES, ("SELECT",))
WRITE = [*rights(TABLES, ("SELECT", "INSERT", "UPDATE", "DELETE")), *NOTES]

Connection: TypeAlias = "asyncpg.Connection | asyncpg.Pool"

_CALLERS = """
SELECT digest, name, scopes, users::text[] FROM access_tokens
WHERE digest = ANY($1) AND (expires_at IS NULL OR expires_at > now())
UNION ALL
SELECT digest, name, scopes, NULL FROM access_sessions JOIN access_accounts ON name = account
WHERE digest = ANY($1) AND expires_at > now()
"""
_ADD_ACCOUNT = """
INSERT INTO access_accounts (name, password, scopes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""
_PROVIDED = "SELECT name, scopes FROM access_accounts WHERE issuer = $1 AND subject = $2 FOR UPDATE"
_PROVIDE = """
INSERT INTO access_accounts (name, scopes, issuer, subject) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
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
    issuer: str | None
    """Of the provider by which they log in; None: by a password."""


class Identity(NamedTuple):
    """Who somebody is at a provider, and how they are called here."""

    issuer: str
    subject: str
    name: str


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


async def callers_of(connection: Connection, digests: Collection[bytes]) -> dict[bytes, Caller]:
    """Whose tokens and sessions these are, by digest, without those of nobody, ended or expired."""
    return {
        digest: Caller(name, scopes_of(texts), None if users is None else frozenset(users))
        for digest, name, texts, users in await connection.fetch(_CALLERS, digests)
    }


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


async def provide_account(connection: Connection, identity: Identity, allowed: Collection[Scope]) -> str:
    """Give who logs in by a provider an account, or theirs these rights; its name, which stays.

    Raises:
        AccountError: Somebody else has the name.
    """
    issuer, subject, name = identity
    scopes = sorted(allowed)
    found = await connection.fetchrow(_PROVIDED, issuer, subject)
    if found is None:
        if await connection.execute(_PROVIDE, name, scopes, issuer, subject) == "INSERT 0 0":
            raise AccountError(f"there is another account {name}")
        await note(connection, issuer, "account made", f"{name}: {', '.join(scopes)}")
        return name
    own_name: str = found["name"]
    if scopes_of(found["scopes"]) != frozenset(allowed):
        await change_rights(connection, own_name, allowed, issuer)
    return own_name


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


async def change_rights(connection: Connection, name: str, allowed: Collection[Scope], who: str) -> None:
    """Give an account other rights, also in the sessions that it has.

    Raises:
        AccountError: There is no such account.
    """
    changed = "UPDATE access_accounts SET scopes = $2 WHERE name = $1"
    if await connection.execute(changed, name, sorted(allowed)) == "UPDATE 0":
        raise AccountError(f"there is no account {name}")
    await note(connection, who, "rights changed", f"{name}: {', '.join(sorted(allowed))}")


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
    rows = await connection.fetch("SELECT name, scopes, made_at, issuer FROM access_accounts ORDER BY name")
    return [Account(name, scopes_of(texts), *more) for name, texts, *more in rows]


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


async def end_session(connection: Connection, secret: str) -> str:
    """Log out; whose session it was, empty where it has ended."""
    ended = "DELETE FROM access_sessions WHERE digest = $1 RETURNING account"
    account: str = await connection.fetchval(ended, digest_of(secret)) or ""
    if account:
        await note(connection, account, "logged out", account)
    return account


async def end_sessions(connection: Connection, account: str) -> None:
    """Log out everywhere."""
    await connection.execute("DELETE FROM access_sessions WHERE account = $1", account)


async def is_of_provider(connection: Connection, account: str) -> bool:
    """Whether an account is of those who log in by a provider."""
    by_it = "SELECT issuer IS NOT NULL FROM access_accounts WHERE name = $1"
    return bool(await connection.fetchval(by_it, account))
