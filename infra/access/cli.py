"""`txnwatch accounts` and `txnwatch tokens`: who may ask the API for what."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import asyncpg
import click

from infra.access import store
from infra.access.secrets import WeakPasswordError, hashed, new_token
from infra.access.store import AccountError, NewToken
from infra.database import session
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.services import POSTGRES
from infra.runtime.settings import Settings
from infra.runtime.this_user import this_user
from schemas.access import NAME, Scope

T = TypeVar("T")

_RIGHTS = click.option(
    "--scope",
    "scopes",
    type=click.Choice([str(scope) for scope in Scope]),
    multiple=True,
    help="What they may do; several times for several. read, unless given.",
)
_MOST_USERS = 1_000


@click.group()
def accounts() -> None:
    """People who log in to the dashboard and the API."""


@click.group()
def tokens() -> None:
    """Secrets by which programs ask the API."""


@accounts.command("add")
@click.argument("name")
@_RIGHTS
def add_account(name: str, scopes: Sequence[str]) -> None:
    """Make an account. The password is asked for, or the first line of standard input."""
    _check_name(name)
    kept = _new_password()
    _change(lambda one: store.add_account(one, name, kept, _chosen(scopes), this_user()))
    click.echo(f"account {name}: {_listed(_chosen(scopes))}")


@accounts.command("password")
@click.argument("name")
def change_password(name: str) -> None:
    """Give an account another password, and log it out everywhere."""
    kept = _new_password()
    _change(lambda one: store.change_password(one, name, kept, this_user()))


@accounts.command("rights")
@click.argument("name")
@_RIGHTS
def change_rights(name: str, scopes: Sequence[str]) -> None:
    """Give an account these scopes in place of those it has, where it is logged in, too."""
    _change(lambda one: store.change_rights(one, name, _chosen(scopes), this_user()))
    click.echo(f"account {name}: {_listed(_chosen(scopes))}")


@accounts.command("remove")
@click.argument("name")
def remove_account(name: str) -> None:
    """Take an account away, and log it out everywhere."""
    _change(lambda one: store.remove(one, "access_accounts", name, this_user()))


@accounts.command("list")
def list_accounts() -> None:
    """List the accounts with their scopes."""
    found = _change(store.accounts)
    lines = [f"{one.name}: {_listed(one.scopes)}, since {one.made_at:%Y-%m-%d}{_by(one)}" for one in found]
    click.echo("\n".join(lines) or "there are no accounts")


def _by(account: store.Account) -> str:
    return f", by {account.issuer}" if account.issuer else ""


@tokens.command("add")
@click.argument("name")
@_RIGHTS
@click.option("--user", "users", type=click.UUID, multiple=True, help="It may know of these users alone.")
@click.option("--days", type=click.IntRange(1, 3650), help="It expires after so many.")
def add_token(name: str, scopes: Sequence[str], users: Sequence[UUID], days: int | None) -> None:
    """Make a token, and print its secret: this once, as it is kept nowhere."""
    _check_name(name)
    if len(users) > _MOST_USERS:
        raise click.UsageError(f"--user: at most {_MOST_USERS:,}")
    if users and _chosen(scopes) != {Scope.READ}:
        raise click.UsageError("--user: a token for some users alone can only read")
    secret = new_token("txn")
    until = datetime.now(UTC) + timedelta(days=days) if days else None
    new = NewToken(name, secret, _chosen(scopes), {*map(str, users)} if users else None, until)
    _change(lambda one: store.add_token(one, new, this_user()))
    click.echo(secret)


@tokens.command("remove")
@click.argument("name")
def remove_token(name: str) -> None:
    """Take a token away: whoever has it is refused within seconds."""
    _change(lambda one: store.remove(one, "access_tokens", name, this_user()))


@tokens.command("list")
def list_tokens() -> None:
    """List the tokens with their scopes."""
    click.echo("\n".join(map(_line, _change(store.tokens))) or "there are no tokens")


def _line(one: store.AccessToken) -> str:
    of = "" if one.users is None else f", of {len(one.users)} users alone"
    until = f", until {one.expires_at:%Y-%m-%d %H:%M} UTC" if one.expires_at else ""
    return f"{one.name}: {_listed(one.scopes)}{of}{until}"


def _chosen(scopes: Sequence[str]) -> frozenset[Scope]:
    return frozenset(map(Scope, scopes)) or frozenset([Scope.READ])


def _listed(scopes: frozenset[Scope]) -> str:
    return ", ".join(sorted(scopes))


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME, name):
        raise click.UsageError("A name has 1 to 100 letters, digits, and . _ @ -")


def _new_password() -> str:
    """The digest of a password that somebody gives."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    try:
        return hashed(password)
    except WeakPasswordError as error:
        raise click.ClickException(str(error)) from None


def _change(work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    """Do something in one transaction."""
    settings = Settings.load()

    async def done() -> T:
        url = settings.postgres.get_secret_value()
        async with session(url, store.WRITE) as connection, connection.transaction():
            return await work(connection)

    with ending_in_one_line(AccountError, StopError, POSTGRES):
        return asyncio.run(done())
