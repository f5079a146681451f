"""`txnwatch backtest`: what is printed and written, and how it ends when something is wrong."""

import csv
import gzip
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stream_app.commands.backtest.charts import spread
from stream_app.commands.backtest.cli import backtest
from stream_app.commands.backtest.ranks import Ranked
from stream_app.detectors import detector_of
from stream_app.detectors.decisions import Decisions, write_decisions
from stream_app.detectors.odds.profile import Profile
from tests.support.documents import commands
from tests.support.oracle import replay
from tests.support.traffic import Sent, traffic

TRAFFIC = traffic(600, users=6, seed=5)
FLAGGED = replay(TRAFFIC).flagged


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with no setting."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TXNWATCH_")]:
        monkeypatch.delenv(name)


def run(*arguments: object, code: int = 0, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(backtest, [str(one) for one in arguments], input=stdin)
    assert result.exit_code == code, result.output
    return result


def found(*arguments: object, stdin: bytes | None = None) -> dict[str, Any]:
    """All figures."""
    answer: dict[str, Any] = json.loads(run(*arguments, "--json", stdin=stdin).stdout)
    return answer


def table(rows: Sequence[Sent], labels: Sequence[str] = (), path: str = "history.csv") -> Path:
    """A file of these, with labels where there are any."""
    columns = [asdict(row) for row in rows]
    for row, label in zip(columns, labels, strict=False):
        row["label"] = label
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, columns[0].keys())
        writer.writeheader()
        writer.writerows(columns)
    return Path(path)


def score_rows() -> list[dict[str, str]]:
    with Path("scores.csv").open(newline="") as file:
        return [*csv.DictReader(file)]


def flags_as_labels() -> list[str]:
    """Each flagged one is a fraud, and the first three of the others, too."""
    others = [row.id for row in TRAFFIC if row.id not in FLAGGED][:3]
    return ["1" if row.id in FLAGGED or row.id in others else "0" for row in TRAFFIC]


def test_a_table_of_figures_is_printed() -> None:
    output = run(table(TRAFFIC, flags_as_labels())).stdout

    assert "history.csv: 600 transactions, 2024-01-01T00:00:00Z to 2024-01-01T00:09:59Z" in output
    figures = dict(re.findall(r"^ *(\S.*?) {2,}(\S+) *$", output, re.MULTILINE))
    assert figures["flagged"] == str(len(FLAGGED))
    assert figures["precision"] == "1.000"
    assert figures["recall"] == f"{len(FLAGGED) / (len(FLAGGED) + 3):.3f}"
    assert len(FLAGGED) > 5


def test_every_row_has_its_line_of_scores_in_the_order_of_the_file() -> None:
    """Also one that is refused, and one that comes again."""
    first = next(row for row in TRAFFIC[300:] if row.id in FLAGGED)
    at = TRAFFIC.index(first) + 1
    rows = [*TRAFFIC[:at], first, *TRAFFIC[at:]]
    path = table(rows)
    with path.open("a") as file:
        file.write("not-an-id,x,1.00,INR,2024-01-01T00:10:00Z,paid,,,,\n")

    output = run(path, "--scores", "scores.csv").stdout
    scores = score_rows()

    assert [row["id"] for row in scores] == [*(row.id for row in rows), "not-an-id"]
    assert {row["id"] for row in scores if row["flagged"] == "1"} == FLAGGED
    assert scores[at] == scores[at - 1]
    assert all((float(row["score"]) > 5) == (row["flagged"] == "1") for row in scores[:-1])
    assert (scores[-1]["score"], scores[-1]["flagged"]) == ("", "")
    assert "1 refused by the worker, id: line 603; the first: 'not-an-id' is not a UUID" in output
    assert "1 duplicates and 0 revisions" in output


def test_without_labels_there_are_alerts_and_scores_alone() -> None:
    figures = found(table(TRAFFIC))["found"]["figures"]

    assert (figures["flagged"], figures["unlabelled"]) == (len(FLAGGED), 600)
    assert (figures["precision"], figures["average_precision"], figures["auc"]) == (None, None, None)
    assert figures["quantiles"]["1"] > 5


def test_a_threshold_is_named_that_gives_at_most_so_many_alerts_a_day() -> None:
    path = table(TRAFFIC, flags_as_labels())

    budget = found(path, "--alerts-per-day", 4, "--scores", "scores.csv")["found"]["figures"]["budget"]

    scores = sorted(float(row["score"]) for row in score_rows())
    assert budget["threshold"] == scores[-4] > scores[-5]
    assert (budget["flagged"], budget["precision"]) == (4, 1.0)


def test_nothing_is_counted_while_windows_fill_and_all_of_it_is_scored() -> None:
    whole = found(table(TRAFFIC, flags_as_labels()))["found"]["figures"]
    warm = found("history.csv", "--warm-up", "5m", "--scores", "scores.csv")["found"]["figures"]
    cold = found("history.csv", "--from", "2024-01-01T00:05Z")["found"]["figures"]

    late = [row.id for row in TRAFFIC[300:] if row.id in FLAGGED]
    assert whole["transactions"] == 600
    assert (warm["transactions"], warm["flagged"]) == (300, len(late))
    assert cold["transactions"] == 300
    assert cold["flagged"] < len(late)
    assert len(score_rows()) == 600


def test_pipes_and_zipped_files_are_read() -> None:
    data = table(TRAFFIC, flags_as_labels()).read_bytes()
    expected = found("history.csv")["found"]
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(gzip.compress(data)))
    writer.start()

    assert found("pipe")["found"] == expected
    writer.join()


def test_ctrl_c_in_the_middle_ends_it_in_a_line_and_leaves_nothing() -> None:
    data = table(TRAFFIC).read_bytes()
    rows = data.partition(b"\n")[2]
    txnwatch = str(Path(sys.executable).with_name("txnwatch"))
    command = [txnwatch, "backtest", "-", "--as-is", "--scores", "scores.csv"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(data + rows * 10)  # more than a pipe holds: it is being read once this returns
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        process.wait(30)
        assert process.stderr is not None
        said = process.stderr.read().decode()

    assert (process.returncode, said.splitlines()[-2:]) == (130, ["", "interrupted: nothing was written"])
    assert "Traceback" not in said
    assert [one.name for one in Path().iterdir()] == ["history.csv"]


def test_history_that_is_not_in_order_is_refused_with_the_remedy() -> None:
    path = table(TRAFFIC[::-1])

    assert "the newest row comes first" in run(path, code=1).stderr
    assert found(path, "--sort")["found"]["figures"]["flagged"] == len(FLAGGED)
    assert found(path, "--as-is")["source"]["late"] == 599


def test_labels_that_say_nothing_are_named() -> None:
    path = table(TRAFFIC[:3], ["maybe", "fraud", ""])

    answer = found(path)

    assert (answer["found"]["figures"]["frauds"], answer["found"]["figures"]["unlabelled"]) == (1, 2)
    assert answer["source"]["notes"] == ["no label, and taken as not known: 'maybe'"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("absent.csv",), "Error: absent.csv: No such file or directory"),
        (("history.csv", "--map", "label=fraud_flag"), "no column fraud_flag; there are: id, user_id"),
        (("history.csv", "--scores", "absent/out.csv"), "absent/out.csv cannot be written: No such file"),
        (("history.csv", "--report", "."), ". cannot be written: it is a folder"),
        (("history.csv", "--detector", "unknown"), "TXNWATCH_DETECTOR: must be one or several of"),
        (("history.csv", "--against", "unknown"), "--against: unknown: no decisions file, and no detector"),
        (("history.csv", "--warm-up", "7"), "'7' is not a number with m, h, d or w, as 7d"),
        (("history.csv", "--from", "2024-01-01T00:00:00"), "has no offset from UTC"),
        (("history.csv", "--from", "0001-01-01T00:00+01:00"), "is no date"),
        (("history.csv", "--from", "2024-01-02", "--to", "2024-01-01"), "--from is not before --to"),
        (("history.csv", "--sort", "--as-is"), "--sort and --as-is exclude each other"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments: tuple[str, ...], line: str) -> None:
    table(TRAFFIC[:20])

    result = CliRunner().invoke(backtest, arguments)

    assert result.exit_code in (1, 2)
    assert line in result.stderr
    assert result.stderr.count("\n") == 1 or "Usage:" in result.stderr


def test_what_cannot_be_finished_leaves_nothing() -> None:
    path = table(TRAFFIC)
    Path("broken.csv.gz").write_bytes(gzip.compress(path.read_bytes())[:-200])
    Path("scores.csv").write_text("as it was")

    line = run("broken.csv.gz", "--scores", "scores.csv", "--report", "page.html", code=1).stderr

    assert "cannot be read after line" in line
    assert Path("scores.csv").read_text() == "as it was"
    assert sorted(one.name for one in Path().iterdir()) == ["broken.csv.gz", "history.csv", "scores.csv"]


@pytest.mark.parametrize(
    "command", [one.text for one in commands() if re.match(r"txnwatch backtest \S+\.csv", one.text)]
)
def test_commands_of_the_documents_run(command: str) -> None:
    for name in ("march.csv", "april.csv"):
        table(TRAFFIC, flags_as_labels(), name)
    run("march.csv", "--detector", "odds", "--fit", "odds.toml")

    run(*shlex.split(command)[2:])


def ran(*arguments: object) -> list[tuple[str, bool, float]]:
    detectors = found("history.csv", *arguments)["found"]["detectors"]
    return [(one["detector"], one["profile"] is not None, one["threshold"]) for one in detectors]


def test_the_setting_of_a_decisions_file_counts_as_for_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another one is given, or another detector."""
    table(TRAFFIC, flags_as_labels())
    for name, threshold in (("set.toml", 500), ("given.toml", 900)):
        write_decisions(Path(name), Decisions("odds", {"odds": Profile(threshold=threshold)}))
    monkeypatch.setenv("TXNWATCH_DECISIONS", "set.toml")

    assert ran() == [("odds", True, 500)]
    assert ran("--decisions", "given.toml") == [("odds", True, 900)]
    assert [name for name, *_ in ran("--detector", "rolling_mean")] == ["rolling_mean"]
    monkeypatch.setenv("TXNWATCH_DETECTOR", "rolling_mean")
    assert "TXNWATCH_DETECTOR: the file of TXNWATCH_DECISIONS has odds" in run("history.csv", code=1).stderr


def test_scores_far_above_all_others_leave_the_rest_of_the_bars_to_those() -> None:
    ordinary = Ranked(float(score) for score in range(-500, 500))
    most = Ranked([*map(float, range(-100, 900)), *[1_000_000.0] * 400])

    drawing = spread(most, ordinary)

    assert drawing.count("<rect") > 40
    assert " and more</text>" in drawing
    assert " and more" not in spread(Ranked([3.0]), ordinary)


def test_the_page_needs_no_network_and_shows_what_was_found() -> None:
    page = Path("page.html")
    run(table(TRAFFIC, flags_as_labels()), "--against", "odds", "--report", page)

    text = page.read_text()
    assert re.findall(r"(?:src|href)=|url\(", text) == []
    assert text.count("<svg") == 3
    assert "this user&#x27;s mean of" in text
    assert all(f">{detector_of(name).rule}<" in text for name in ("rolling_mean", "odds"))
