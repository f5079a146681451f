"""`txnwatch backtest --from-db`: what was decided then, and labels that were given, without a file."""

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner, Result

from infra.decisions.labels import Asked, give_labels
from stream_app.commands.backtest.cli import backtest
from tests.support.decided_rows import decided_rows

FLAGGED = "SELECT id::text FROM transactions WHERE (meta_data -> 'is_anomaly')::bool"


@pytest.fixture
def database_url(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Of a database with rows and decisions, which the environment names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTGRES_URL", database)
    asyncio.run(decided_rows(database))
    return database


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(backtest, [*arguments])
    assert result.exit_code == code, result.output
    return result


def found(*arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run("--from-db", *arguments, "--json").stdout)
    return answer


def flagged_in(path: str) -> set[str]:
    with Path(path).open(newline="") as file:
        return {row["id"] for row in csv.DictReader(file) if row["flagged"] == "1"}


async def _ids(url: str, statement: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        return {row["id"] for row in await connection.fetch(statement)}
    finally:
        await connection.close()


async def _label(url: str, ids: set[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        every = await connection.fetch("SELECT id::text FROM transactions")
        asked = [Asked(row["id"], "", None, row["id"] in ids) for row in every]
        await give_labels(connection, asked, "ann", "")
    finally:
        await connection.close()


def test_rows_get_the_verdicts_that_were_given_by_what_was_decided_then(database_url: str) -> None:
    given = asyncio.run(_ids(database_url, FLAGGED))

    outcome = found("--decisions", "history", "--scores", "then.csv", "--report", "then.html")
    against = found("--detector", "rolling_mean", "--against", "history", "--scores", "now.csv")

    assert flagged_in("then.csv") == given
    assert outcome["found"]["figures"]["flagged"] == len(given)
    assert outcome["source"]["notes"] == []
    assert "payments" in Path("then.html").read_text() or "several" in Path("then.html").read_text()
    now = flagged_in("now.csv")
    kinds = against["difference"]
    assert (kinds["both"], kinds["gained"], kinds["lost"]) == (
        len(now & given),
        len(now - given),
        len(given - now),
    )
    assert now != given


def test_labels_that_were_given_need_no_file(database_url: str) -> None:
    frauds = asyncio.run(_ids(database_url, FLAGGED))
    asyncio.run(_label(database_url, frauds))

    outcome = found("--decisions", "history")

    figures = outcome["found"]["figures"]
    assert (figures["precision"], figures["recall"], figures["frauds"]) == (1.0, 1.0, len(frauds))
    [note] = outcome["source"]["notes"]
    assert note.endswith("transactions have a label that they were given")
    Path("none.csv").write_text("id,label\n")
    assert found("--labels", "none.csv")["found"]["figures"]["frauds"] == 0


def test_labels_are_known_when_they_were_given_where_that_is_asked_for(database_url: str) -> None:
    """They were given long after all transactions: by their own times they teach nothing."""
    asyncio.run(_label(database_url, asyncio.run(_ids(database_url, FLAGGED))))

    run("--from-db", "--detector", "odds", "--fit", "given.toml", "--labels-late", "given")
    run("--from-db", "--detector", "odds", "--fit", "known.toml")
    Path("none.csv").write_text("id,label\n")
    run("--from-db", "--detector", "odds", "--fit", "none.toml", "--labels", "none.csv")

    given, known, none = (Path(f"{name}.toml").read_text() for name in ("given", "known", "none"))
    assert given == none != known


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.csv", "--decisions", "history"], "--decisions history is for --from-db"),
        (["a.csv", "--against", "history"], "--against history is for --from-db"),
        (["--from-db", "--decisions", "history", "--detector", "odds"], "without --detector"),
        (
            ["--from-db", "--labels", "a.csv", "--labels-late", "given"],
            "--labels-late given is for --from-db",
        ),
    ],
)
def test_what_does_not_go_together_is_said(arguments: list[str], said: str) -> None:
    assert said in run(*arguments, code=2).stderr


def test_where_nothing_was_scored_there_is_no_history(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_URL", database)

    answer = run("--from-db", "--decisions", "history", code=1)

    assert answer.stderr == "Error: Postgres has no rows of transactions by TXNWATCH_APP_ID=txnwatch\n"
