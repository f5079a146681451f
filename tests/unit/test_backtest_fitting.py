"""Labels in time: what is not yet known changes no score and teaches nothing."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from infra.produce.labels import Label
from schemas.transaction import Transaction
from stream_app.commands.backtest.cli import backtest
from stream_app.commands.backtest.fit import fit
from stream_app.commands.backtest.rows import Piece
from stream_app.detectors.decisions import read_decisions
from tests.support.traffic import START, Sent, traffic

TRAFFIC = traffic(400, users=5, seed=9)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: object, code: int = 0, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(backtest, [str(one) for one in arguments], input=stdin)
    assert result.exit_code == code, result.output
    return result


def table(rows: Sequence[Sent], labels: Mapping[str, str] | None = None, path: str = "history.csv") -> str:
    columns = [{**asdict(row), **({"label": labels.get(row.id, "")} if labels else {})} for row in rows]
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, columns[0].keys())
        writer.writeheader()
        writer.writerows(columns)
    return path


def label_file(labels: Mapping[str, str], path: str = "labels.csv", **changed: str) -> str:
    lines = [
        ",".join({"id": one.id, "user_id": one.user_id, "txn_date": one.txn_date, **changed}.values())
        + f",{labels[one.id]}\n"
        for one in TRAFFIC
        if one.id in labels
    ]
    Path(path).write_text("id,user_id,txn_date,label\n" + "".join(lines))
    return path


FRAUDS = {one.id: "fraud" if one.hundredths > 60_000 else "legitimate" for one in TRAFFIC}


class Remembers:
    """A fitting whose profile is what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[str, Label]] = []

    def add(self, transaction: Transaction, label: Label) -> None:
        self.given.append((transaction.id, label))

    def profile(self) -> Any:
        return self.given


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([True, False, None]))), st.integers(0, 9))
def test_a_fitting_gets_the_labels_that_are_known_and_every_transaction(
    days: list[tuple[int, Label]], known_to: int
) -> None:
    transactions = [
        Transaction(str(at), "", 1, "INR", START + day * DAY, "paid", None)
        for at, (day, _) in enumerate(days)
    ]
    piece = Piece(transactions, [label for _, label in days])

    given_to: Any = fit([piece], {"remembers": Remembers()}, START + known_to * DAY)["remembers"]

    assert given_to == [(str(at), label if day <= known_to else None) for at, (day, label) in enumerate(days)]


def test_what_history_teaches_is_written_and_decides_about_the_next() -> None:
    first = table(TRAFFIC[:300], FRAUDS, "first.csv")
    run(first, "--detector", "odds", "--fit", "odds.toml")

    decisions = read_decisions(Path("odds.toml"))
    found = json.loads(run(table(TRAFFIC[300:], FRAUDS), "--decisions", "odds.toml", "--json").stdout)[
        "found"
    ]

    assert (decisions.detector, [*decisions.profiles]) == ("odds", ["odds"])
    assert found["name"] == "odds"
    assert found["detectors"][0]["profile"] is not None
    assert (
        found["detectors"][0]["profile"]
        != json.loads(run("history.csv", "--detector", "odds", "--json").stdout)["found"]["detectors"][0][
            "profile"
        ]
    )


def test_labels_that_come_too_late_teach_nothing_and_change_no_score() -> None:
    """Turned round, those of the last hundred seconds leave profile and scores as they were."""
    end = datetime.fromisoformat(TRAFFIC[-1].txn_date) - timedelta(minutes=2)
    late = [one.id for one in TRAFFIC if datetime.fromisoformat(one.txn_date) > end]
    turned = {**FRAUDS, **{one: "fraud" if FRAUDS[one] == "legitimate" else "legitimate" for one in late}}
    written = []

    for labels in (FRAUDS, turned):
        arguments = (
            "--detector",
            "odds",
            "--fit",
            "odds.toml",
            "--labels-late",
            "2m",
            "--scores",
            "scores.csv",
        )
        run(table(TRAFFIC, labels), *arguments)
        written.append((Path("odds.toml").read_text(), Path("scores.csv").read_text()))

    assert len(late) > 50
    assert written[0] == written[1]
    run(table(TRAFFIC, FRAUDS), "--detector", "odds", "--scores", "scores.csv")
    all_known = Path("scores.csv").read_text()
    run(table(TRAFFIC, turned), "--detector", "odds", "--scores", "scores.csv")
    assert Path("scores.csv").read_text() == all_known


def test_a_pipe_is_kept_for_as_long_as_it_is_read_again() -> None:
    table(TRAFFIC, FRAUDS)
    run("history.csv", "--detector", "odds", "--fit", "file.toml", "--labels-late", "1m")

    run(
        "-",
        "--detector",
        "odds",
        "--fit",
        "pipe.toml",
        "--labels-late",
        "1m",
        stdin=Path("history.csv").read_bytes(),
    )

    assert Path("pipe.toml").read_text() == Path("file.toml").read_text()


def test_labels_of_a_file_are_those_of_a_column() -> None:
    column = json.loads(run(table(TRAFFIC, FRAUDS), "--json").stdout)["found"]
    answer = json.loads(run(table(TRAFFIC), "--labels", label_file(FRAUDS), "--json").stdout)

    assert answer["found"] == column
    assert answer["source"]["notes"] == ["400 transactions have a label of the 400 in the file"]


def test_labels_of_another_user_or_date_are_not_those_of_a_transaction() -> None:
    path = label_file(FRAUDS, user_id=TRAFFIC[0].user_id)

    frauds = json.loads(run(table(TRAFFIC), "--labels", path, "--json").stdout)["found"]["figures"]

    its_own = [one for one in TRAFFIC if one.user_id == TRAFFIC[0].user_id]
    assert frauds["frauds"] + frauds["legitimate"] == len(its_own) < 400


def test_contradicting_labels_are_counted_named_and_the_later_counts() -> None:
    one, other = TRAFFIC[0].id, TRAFFIC[1].id
    Path("labels.csv").write_text(f"id,label\n{one},fraud\n{one},legitimate\n{other},fraud\n")

    answer = json.loads(run(table(TRAFFIC[:3], {other: "0"}), "--labels", "labels.csv", "--json").stdout)

    assert (answer["found"]["figures"]["frauds"], answer["found"]["figures"]["legitimate"]) == (1, 1)
    assert f"2 labels contradict others, and the later counts: {one}, {other}" in answer["source"]["notes"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--fit", "x.toml"), "--fit: rolling_mean learns nothing of history"),
        (("--fit", "absent/x.toml", "--detector", "odds"), "absent/x.toml cannot be written"),
        (("--fit", "x.toml", "--decisions", "y.toml"), "one of the two"),
        (("--decisions", "absent.toml"), "absent.toml: No such file or directory"),
        (("--against", "absent.toml"), "absent.toml: No such file or directory"),
        (("--labels", "absent.csv"), "absent.csv: No such file or directory"),
        (("--labels", "history.csv"), "history.csv: no column label; there are: id, user_id"),
        (("--labels", "words.csv"), "words.csv: line 2: 'maybe' is neither fraud nor legitimate"),
        (("--labels-late", "soon"), "'soon' is not a number with m, h, d or w, as 7d"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(arguments: tuple[str, ...], line: str) -> None:
    table(TRAFFIC[:20])
    Path("words.csv").write_text(f"id,label\n{TRAFFIC[0].id},maybe\n")

    result = CliRunner().invoke(backtest, ["history.csv", *arguments])

    assert result.exit_code in (1, 2)
    assert line in result.stderr
    assert [*Path().glob("*.toml")] == []
