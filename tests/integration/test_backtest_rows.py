"""`txnwatch backtest --from-db`: rows that a worker has stored get the verdicts that it gave."""

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from schemas.transaction import Decoder
from stream_app.commands.backtest.cli import backtest
from stream_app.scoring import Arrival
from stream_app.sinks.postgres import PostgresRows, connect
from stream_app.window import Window
from tests.support.detectors import rolling_scorer
from tests.support.oracle import replay
from tests.support.traffic import traffic

TRAFFIC = traffic(400, users=5, seed=3)
FLAGGED = replay(TRAFFIC).flagged


async def store(database: str) -> None:
    """Store a worker's rows of the traffic, flags and all."""
    decoder = Decoder()
    found = [decoder.decode(one.value, one.key, 1_800_000_000_000) for one in TRAFFIC]
    windows = {one.user_id: Window() for one in found}
    arrivals = [Arrival(offset, 0, one) for offset, one in enumerate(found)]
    verdicts = rolling_scorer().score(arrivals, windows).verdicts
    async with connect(database) as pool:
        rows = PostgresRows(pool, "transactions", app_id="txnwatch", retry_seconds=5)
        taken = await rows.take_over(0)
        await rows.write(0, taken.epoch, verdicts, len(found))


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(backtest, ["--from-db", *arguments])
    assert result.exit_code == code, result.output
    return result


def found(*arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return answer


def test_rows_get_the_verdicts_that_they_have(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTGRES_URL", database)
    asyncio.run(store(database))
    labels = "".join(f"{one.id},{int(one.id in FLAGGED)}\n" for one in TRAFFIC)
    Path("labels.csv").write_text(f"id,label\n{labels}")

    figures = found("--labels", "labels.csv", "--scores", "scores.csv")["found"]["figures"]
    with Path("scores.csv").open(newline="") as file:
        scores = [*csv.DictReader(file)]

    assert [row["id"] for row in scores] == [one.id for one in TRAFFIC]
    assert {row["id"] for row in scores if row["flagged"] == "1"} == FLAGGED
    assert (figures["precision"], figures["recall"], figures["transactions"]) == (1.0, 1.0, 400)
    assert found("--to", "2024-01-01T00:01Z")["source"]["transactions"] == 60
    run("--detector", "odds", "--fit", "odds.toml", "--labels", "labels.csv", "--labels-late", "1m")
    assert 'mean = "' in Path("odds.toml").read_text()


def test_a_database_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_URL", "postgresql://127.0.0.1:1/none")

    assert run(code=1).stderr.startswith("Error: Postgres (POSTGRES_URL): nothing listens at its address")
