"""`backtest`: what `txnwatch backtest` costs a row of a file, against the least that a person would write."""

import asyncio
import csv
import os
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from uuid import UUID

from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.result import Column, Figure, Result, ratio

BACKTEST, BEGUN = "txnwatch backtest", "its start alone"
PLAIN, PARSED = "csv.DictReader, means in floats", "csv.reader alone"
PEER = Path(__file__).parent / "peers" / "rolling_mean_of_csv.py"
COMMAND = [str(Path(sys.executable).with_name("txnwatch")), "backtest"]
COMMANDS = {
    BACKTEST: COMMAND,
    BEGUN: [*COMMAND, "--help"],
    PLAIN: [sys.executable, str(PEER)],
    PARSED: [sys.executable, str(PEER), "--parse"],
}
COLUMNS = [Column("command", "command"), Column("cpu", "processor time a row, µs", ".2f")]
METHOD = (
    "The peer reads the same file without a check, takes means in floats and gives the number of its flags; "
    "the last row only parses. The figures are without the start, which no row adds to."
)
START = datetime(2024, 1, 1, tzinfo=UTC)
FRAUDS, TIMES = 0.005, 8


async def backtest(_: Loads, options: Options) -> Result:
    """Each command in turn, in every round."""
    users = min(options.users, options.count // 100)
    laps: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "history.csv"
        _write(file, options.count, users)
        for _round in range(options.rounds):
            for name, command in COMMANDS.items():
                laps[name].append(await asyncio.to_thread(_seconds, [*command, str(file)]))
    cpu = {name: median(its) / options.count * 1e6 for name, its in laps.items()}
    row = cpu[BACKTEST] - cpu[BEGUN]
    return Result(
        name="backtest",
        title="what a backtest costs a row",
        setting=f"CSV of {options.count:,} rows, {users:,} users; {options.rounds} rounds in turn, medians",
        columns=COLUMNS,
        rows=[{"command": name, "cpu": its} for name, its in cpu.items()],
        figures=[
            Figure("rows a second of a core", 1e6 / row, aim=300_000, unit="/s"),
            Figure("processor time against the plain loop", ratio(row, cpu[PLAIN]), better="less"),
        ],
        notes=[METHOD],
    )


def _seconds(command: list[str]) -> float:
    """Processor time of a command.

    Raises:
        RuntimeError: It failed.
    """
    nothing = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1)]
    process = os.posix_spawn(command[0], command, os.environ, file_actions=nothing)
    _, status, usage = os.wait4(process, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{' '.join(command)} ended with code {code}")
    return usage.ru_utime + usage.ru_stime


def _write(path: Path, count: int, users: int) -> None:
    """Users who spend around means of their own; one of 200 rows is a fraud of eight times as much."""
    chance = random.Random(count)  # noqa: S311 - not for secrets
    of = [(str(UUID(int=1 << 80 | number)), chance.uniform(5, 200)) for number in range(users)]
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "user_id", "amount", "currency", "txn_date", "status", "merchant_id", "label"])
        for number in range(count):
            user, mean = chance.choice(of)
            fraud = chance.random() < FRAUDS
            amount = mean * chance.lognormvariate(0, 0.5) * (TIMES if fraud else 1)
            at = START + timedelta(seconds=number * 9)
            facts = [f"{amount:.2f}", "EUR", f"{at:%Y-%m-%dT%H:%M:%SZ}", "paid", f"T{number % 5000}"]
            rows.writerow([UUID(int=1 << 100 | number), user, *facts, int(fraud)])
