"""`txnwatch accounts` and `txnwatch tokens` against a real database."""

import asyncio
import re

import asyncpg
import pytest
from click.testing import CliRunner, Result

from infra.access.secrets import digest_of, fits
from infra.access.store import callers_of
from infra.cli import main
from schemas.access import Caller, Scope
from tests.support.rows import user

PASSWORD = "a password of hers"  # noqa: S105 - of this test's alone
ALICE = user(1)


def run(*arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=given)


@pytest.fixture(autouse=True)
def of_this_database(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_URL", database)


async def asked(database: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


def test_an_account_is_made_listed_given_another_password_and_removed() -> None:
    assert run("accounts", "list").output == "there are no accounts\n"
    made = run("accounts", "add", "ann", "--scope", "read", "--scope", "label", given=PASSWORD)
    assert made.output == "account ann: label, read\n"
    assert run("accounts", "list").output.startswith("ann: label, read, since 20")
    assert run("accounts", "add", "ann", given=PASSWORD).output == "Error: there is an account ann already\n"
    assert run("accounts", "password", "ann", given="another password").exit_code == 0
    assert run("accounts", "password", "eve", given=PASSWORD).output == "Error: there is no account eve\n"
    assert run("accounts", "remove", "ann").exit_code == 0
    assert run("accounts", "remove", "ann").output == "Error: there is no account ann\n"


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (("accounts", "add", "ann"), "short", "a password has 12 to 1000 characters"),
        (("accounts", "add", "a b"), PASSWORD, "A name has 1 to 100 letters"),
        (("tokens", "add", "x", "--scope", "label", "--user", ALICE), "", "can only read"),
        (("tokens", "remove", "x"), "", "there is no token x"),
    ],
)
def test_what_cannot_be_is_said(arguments: tuple[str, ...], given: str, said: str) -> None:
    refused = run(*arguments, given=given)

    assert refused.exit_code != 0
    assert said in refused.output


async def test_nothing_secret_is_kept_and_everything_is_noted(database: str) -> None:
    def use() -> str:
        run("accounts", "add", "ann", given=PASSWORD)
        shown = run("tokens", "add", "shop", "--user", ALICE, "--days", "9")
        assert re.fullmatch(r"shop: read, of 1 users alone, until .* UTC\n", run("tokens", "list").output)
        return shown.output.strip()

    secret = await asyncio.to_thread(use)
    [account] = await asked(database, "SELECT * FROM access_accounts")
    [token] = await asked(database, "SELECT * FROM access_tokens")

    assert PASSWORD not in str(account)
    assert secret not in str(token)
    assert fits(PASSWORD, account["password"])
    assert not fits("another password", account["password"])
    assert token["digest"] == digest_of(secret)
    connection = await asyncpg.connect(database)
    found = await callers_of(connection, [digest_of(secret)])
    await connection.close()
    assert found[digest_of(secret)] == Caller("shop", frozenset([Scope.READ]), frozenset([ALICE]))
    noted = await asked(database, "SELECT what, whom FROM access_log ORDER BY at")
    assert [tuple(row) for row in noted] == [
        ("account made", "ann: read"), ("token made", "shop: read, 1 users"),
    ]  # fmt: skip
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="stays as it was noted"):
        await asked(database, "DELETE FROM access_log")
