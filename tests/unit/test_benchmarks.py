"""The pure parts of the benchmarks: what is sent when, what is made of the times, how it is shown."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

import msgspec
import psutil
import pytest

from benchmarks import arrivals, environments
from benchmarks.arrivals import Arrivals
from benchmarks.bed import PARTITIONS
from benchmarks.load import generate
from benchmarks.peers import rule
from benchmarks.process import Command, EndedError, running
from benchmarks.race import Lap, Standing
from benchmarks.report import render
from benchmarks.restoring import Restorer, ours, stock
from benchmarks.result import Column, Figure, Record, Result, quantity, read_record
from benchmarks.schedule import (
    HOMES,
    PROBED_EACH_SECOND,
    Schedule,
    home,
    number_of,
    percentile,
    transaction_id,
)
from benchmarks.standings import failures, table, times
from schemas.transaction import Decoder
from stream_app.scoring import Arrival
from stream_app.window import Window
from tests.support.detectors import rolling_scorer


def flagged(load: list[list[tuple[bytes, bytes]]]) -> list[list[str]]:
    """The ids that our own rule flags, by partition in its order."""
    decode, scorer = Decoder().decode, rolling_scorer()
    result = []
    for messages in load:
        windows: dict[str, Window] = {}
        transactions = [decode(value, key, 1_900_000_000_000) for key, value in messages]
        for transaction in transactions:
            windows.setdefault(transaction.user_id, Window())
        numbered = (Arrival(offset, 0, transaction) for offset, transaction in enumerate(transactions))
        verdicts = scorer.score(numbered, windows).verdicts
        result.append([verdict.transaction.id for verdict in verdicts if verdict.flag is not None])
    return result


def test_a_load_begins_and_ends_each_partition_with_a_flag_of_the_rule() -> None:
    messages, load = generate("topic", count=5_000, users=50)

    flags = flagged(messages)

    assert {each[0] for each in flags} == load.first
    assert {each[-1] for each in flags} == load.last
    assert len(load.first) == len(load.last) == PARTITIONS
    assert sum(map(len, flags)) == load.flags > 2 * PARTITIONS


def test_a_load_is_as_large_as_it_says_and_its_transactions_are_all_different() -> None:
    messages, load = generate("topic", count=1_000, users=50)

    ids = Counter(msgspec.json.decode(value)["id"] for partition in messages for _, value in partition)

    assert sum(ids.values()) == load.count
    assert set(ids.values()) == {1}


def test_a_load_is_the_same_each_time_and_each_user_is_in_the_partition_of_the_key() -> None:
    messages, _ = generate("topic", count=1_000, users=50)

    assert generate("topic", count=1_000, users=50)[0] == messages
    for partition, each in enumerate(messages):
        assert {home(key.decode()) for key, _ in each} == {partition}


def test_the_peers_rule_flags_what_ours_does() -> None:
    messages, _ = generate("topic", count=5_000, users=50)
    flags: list[list[str]] = []
    for each in messages:
        windows: dict[str, list[int]] = {}
        flags.append([])
        for _, value in each:
            transaction = msgspec.json.decode(value)
            window = windows.get(transaction["user_id"], [])
            amount = rule.hundredths(transaction["amount"])
            if rule.stands_out(window, amount):
                flags[-1].append(transaction["id"])
            windows[transaction["user_id"]] = rule.joined(window, amount)

    assert flags == flagged(messages)


def test_a_schedule_sends_each_transaction_once_and_none_before_its_time() -> None:
    schedule = Schedule(rate=300, seconds=2)
    sent = [schedule.due_by(tick / 100) for tick in range(300)]

    assert sent == sorted(sent)
    assert sent[0] == 1
    assert sent[-1] == schedule.count == 600
    for tick, beyond in enumerate(sent):
        assert schedule.due(beyond - 1) <= tick / 100 + 1e-6


@pytest.mark.parametrize("rate", [1_000, 5_000, 10_000])
def test_probes_come_as_often_at_every_rate(rate: int) -> None:
    schedule = Schedule(rate, seconds=3)

    assert sum(map(schedule.is_probe, range(schedule.count))) == 3 * PROBED_EACH_SECOND


def test_the_partitions_of_a_schedule_share_its_transactions_out_in_order() -> None:
    schedule = Schedule(rate=1_000, seconds=1)

    shares = [list(schedule.sent_to(partition)) for partition in range(PARTITIONS)]

    assert sorted(number for share in shares for number in share) == list(range(schedule.count))
    assert all(share == sorted(share) for share in shares)
    assert {HOMES[schedule.user(number)] for number in shares[2]} == {2}


def test_a_number_survives_in_its_transactions_id_and_other_ids_have_none() -> None:
    assert [number_of(transaction_id(number)) for number in (0, 199_999)] == [0, 199_999]
    assert number_of("00000001-0000-4000-a000-000000000000") is None


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(value) for value in range(1, 1001)]

    assert [percentile(values, percent) for percent in (0, 50, 99, 99.9, 100)] == [1, 500, 990, 999, 1000]
    assert percentile([], 50) is None


def test_latency_counts_from_when_a_transaction_was_due_and_leaves_the_warm_up_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrivals, "WARM_UP_SECONDS", 1)
    observed = Arrivals(Schedule(rate=10, seconds=2), start=100.0)
    # All arrive at once, at the very end: those due earlier have waited longer.
    observed.rows = dict.fromkeys(range(20), 102.0)

    latencies = observed.latencies(observed.rows)

    assert latencies == pytest.approx([100 * waited for waited in range(1, 11)])
    assert observed.expected(probes_only=False) == 10
    assert not observed.complete


def lap(rate: float, cpu: float = 1.0, memory: int = 1_000_000) -> Lap:
    return Lap(rate, cpu, memory)


def test_a_race_compares_medians_and_names_who_did_not_come_through() -> None:
    standings = {
        "ours": Standing("ours", 100, [lap(10), lap(40), lap(20)]),
        "slow": Standing("slow", 100, [lap(4), lap(5), lap(6)]),
        "fast": Standing("fast", 100, [lap(10)]),
        "absent": Standing("absent", 100, failure="skipped: no JDK"),
    }

    rows = {row["contender"]: row for row in table(standings)}

    assert [rows[name]["times"] for name in standings] == [1, 4, 2, None]
    assert (rows["ours"]["lowest"], rows["ours"]["rate"], rows["ours"]["highest"]) == (10, 20, 40)
    assert times(standings, "slow", "fast", "absent") == 2
    assert times(standings, "absent") is None
    assert failures(standings) == ["absent skipped: no JDK"]


def test_restoring_is_what_remains_of_the_time_after_starting() -> None:
    restorer = Restorer("ours", ours, None, seconds=[5.0, 7.0, 6.0], idle_seconds=[1.0, 2.0, 9.0])

    assert restorer.rate(400) == 100
    assert Restorer("ours", ours, None, seconds=[1.0], idle_seconds=[2.0]).rate(400) is None


def test_both_changelogs_hold_the_same_window() -> None:
    key, value = stock("user")

    assert (msgspec.json.decode(key), ours("user")[0]) == ("user", b"user")
    assert len(msgspec.json.decode(value)) == 12


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure("", 1.0, 0.6, 1.0), "aim"),
        (Figure("", 0.6, 0.6, 1.0), "least"),
        (Figure("", 0.59, 0.6, 1.0), "missed"),
        (Figure("", None, 0.6, 1.0), "unknown"),
        (Figure("", 7.0), ""),
        (Figure("", 40, 150, 50, "ms", "less"), "aim"),
        (Figure("", 150, 150, 50, "ms", "less"), "least"),
        (Figure("", 151, 150, 50, "ms", "less"), "missed"),
    ],
)
def test_a_figure_is_held_against_what_is_asked_of_it(figure: Figure, verdict: str) -> None:
    assert figure.verdict == verdict


@pytest.mark.parametrize(
    ("value", "shown"), [(0.512, "0.51 ms"), (43.21, "43.2 ms"), (1234.5, "1,234 ms"), (-3.0, "-3.00 ms")]
)
def test_quantities_are_shown_in_three_digits(value: float, shown: str) -> None:
    assert quantity(value, "ms") == shown


def record(note: str = "a note") -> Record:
    result = Result(
        name="state",
        title="a title",
        setting="a setting",
        columns=[Column("contender", "who"), Column("rate", "a second")],
        rows=[{"contender": "ours", "rate": 12_345.6}, {"contender": "a|b", "rate": None}],
        figures=[Figure("against theirs", 1.5, 1.0, 2.0), Figure("by the way", 3.0)],
        notes=[note],
    )
    return Record("2026-01-02T03:04:05+00:00", "run it", {"cores": "2"}, {"Kafka": "4"}, result)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record().write(tmp_path / "new")

    assert read_record(tmp_path / "new" / "state.json") == record()


def test_a_file_that_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"began": 1}')

    with pytest.raises(msgspec.ValidationError):
        read_record(tmp_path / "state.json")


def test_the_page_has_every_number_command_goal_and_version() -> None:
    page = render([record("it failed:\nits log")], {"state": "benchmarks/state.svg"})

    for line in (
        "## state: a title",
        "`run it`",
        "![a title](benchmarks/state.svg)",
        "| ours | 12,346 |",
        "| a/b | - |",
        "| state | against theirs | 1.50 × | 1.00 × | 2.00 × | reached |",  # noqa: RUF001 - as the page has it
        "- by the way: 3.00 ×",  # noqa: RUF001 - as the page has it
        "```text\nits log\n```",
        "state (2026-01-02 03:04 UTC):",
        "| Kafka | 4 |",
    ):
        assert line in page


def test_what_was_made_on_the_same_machine_is_said_once() -> None:
    page = render([record(), record()], {})

    assert page.count("| cores | 2 |") == 1


async def test_processes_end_with_their_block_and_so_do_their_children(tmp_path: Path) -> None:
    parent = (
        "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'input()'], "
        "stdin=subprocess.PIPE); print(child.pid, flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    with running(Command([sys.executable, "-c", parent], {}, log)) as process:
        async with asyncio.timeout(20):
            while not log.read_text().endswith("\n"):  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)
        process.check()
        assert process.memory_bytes() > 0
        child = int(log.read_text())

    assert process.processes[0].returncode is not None
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


async def test_a_process_that_fails_says_so_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = Command([sys.executable, "-c", "import sys; sys.exit('no broker')"], {}, tmp_path / "log")

    with running(command) as process, pytest.raises(EndedError, match=r"ended with 1:\nno broker"):
        await process.finish()


def test_a_process_gets_none_of_the_callers_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXNWATCH_SINKS", "redis")
    program = "import os; print(sorted(name for name in os.environ if name.startswith('TXNWATCH_')))"
    command = Command([sys.executable, "-c", program], {"TXNWATCH_APP_ID": "run"}, tmp_path / "log")

    with running(command) as process:
        asyncio.run(process.finish())

    assert (tmp_path / "log").read_text() == "['TXNWATCH_APP_ID']\n"


def test_without_a_jdk_kafka_streams_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(environments.UnavailableError, match="no java is found"):
        environments.streams_command()


@pytest.mark.parametrize(
    ("name", "package"), [("quix", "quixstreams"), ("bytewax", "bytewax"), ("faust", "faust-streaming")]
)
def test_every_package_of_a_peer_is_pinned(name: str, package: str) -> None:
    lines = (environments.PEERS / f"{name}.txt").read_text().splitlines()

    assert all("==" in line for line in lines)
    assert environments.pinned(name, package)


@pytest.mark.parametrize(("values", "is_empty"), [([], False), ([None, None], True), ([None, 1.0], False)])
def test_a_result_without_any_figure_measured_is_empty(values: list[float | None], *, is_empty: bool) -> None:
    figures = [Figure("rate", value, least=1) for value in values]

    assert Result("name", "title", "setting", [], [], figures).is_empty is is_empty
