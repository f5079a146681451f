"""`txnwatch lists` against real services: lists that people put, change and look at."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infra.cli import main
from infra.decisions.history import Proposal, append
from schemas.decision import RULES
from tests.support.installation import Installation, ended, until
from tests.support.traffic import traffic

ENTRIES = 60_000


def lists(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["lists", *arguments])


@pytest.fixture(autouse=True)
def of_this_installation(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_a_list_is_put_changed_shown_and_listed(tmp_path: Path) -> None:
    file = tmp_path / "blocked.txt"
    file.write_bytes("\ufeffbakery\r\n\n  Ä kiosk \nbakery\n".encode())

    assert lists("show", "blocked").output == ""
    assert lists("put", "blocked", str(file), "--who", "ann", "--why", "a raid").output.endswith("put 2\n")
    lists("add", "blocked", "cinema", "zoo", "--who", "bob")
    lists("remove", "blocked", "bakery", "--who", "bob")

    assert lists("show", "blocked").output == "cinema\nzoo\nÄ kiosk\n"
    told = lists("history", "blocked").output.splitlines()
    assert [line.rpartition(": ")[2] for line in told] == ["remove 1", "add 2", "put 2"]
    assert ", ann: a raid: put 2" in told[-1]
    assert lists("history", "other").output == "nothing was decided of a list other\n"


def test_what_cannot_be_put_is_said_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "wrong.txt"
    file.write_bytes(b"bakery\n\xff\n")

    assert "line 2: not UTF-8" in lists("put", "blocked", str(file)).output
    file.write_text("x" * 257)
    assert "an entry has 1 to 256 printable characters" in lists("put", "blocked", str(file)).output
    assert lists("show", "blocked").output == ""


@pytest.mark.slow
async def test_a_list_of_several_decisions_holds_and_is_there_after_a_restart(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """All are blocked by the list that holds, and after the restart, too."""
    installation = Installation(environment)
    sent = traffic(800, seed=1)
    users = {(one.key or b"").decode() for one in sent}
    file = tmp_path / "users.txt"
    file.write_text("\n".join([*(f"00000000-0000-4000-8000-{n:012}" for n in range(ENTRIES)), *users]))
    body = {"rules": [{"name": "blocked", "when": 'in_list("users", user_id)'}]}
    async with installation.postgres() as connection:
        await append(connection, Proposal(RULES, body, "ann", ""))
    put = await asyncio.to_thread(lists, "put", "users", str(file), "--who", "ann")
    assert put.output == f"decision 6: put {ENTRIES + len(users):,}\n", put.output

    async def flagged() -> int:
        return len(await installation.read("TXNWATCH_ANOMALIES_TOPIC"))

    with installation.worker() as worker:
        await installation.send_transactions(sent[:400])
        await until(installation.finished)
        assert await flagged() == 400
        assert await ended(worker) == 0
    with installation.worker() as worker:
        await installation.send_transactions(sent[400:])
        await until(installation.finished)
        assert await ended(worker) == 0
    assert await flagged() == len(sent)
    async with installation.postgres() as connection:
        assert await connection.fetchval("SELECT count(DISTINCT seq) FROM decisions_applied") == 6
