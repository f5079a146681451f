"""`detectors`: what detectors cost a transaction, without Kafka, Postgres and all else."""

import gc
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from time import process_time
from uuid import UUID

from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.result import Cell, Column, Figure, Result, ratio
from schemas.transaction import Transaction
from stream_app.detectors import ensemble_of
from stream_app.scoring import Arrival, Ensemble, Scorer
from stream_app.window import Window
from stream_app.window.recent import ENTRY_BYTES

DEFAULT, ODDS = ("rolling_mean", ""), ("odds", "")
CASES = (DEFAULT, ODDS, ("rolling_mean,odds", ""), ("rolling_mean", "odds"))
WARM, BATCH, SIZE = 20, 4_000, 20
OUTLIERS = 0.01
START = datetime(2024, 1, 1, tzinfo=UTC)
COLUMNS = [
    Column("case", "detectors"),
    Column("verbs", "score and learn, µs", ".2f"),
    Column("whole", "with windows, µs", ".2f"),
    Column("bytes", "state, bytes", ".1f"),
]
METHOD = (
    "Processor time of one transaction, the least of a round's batches of 4,000, median of rounds. "
    "`score and learn`: the two verbs alone, where `rolling_mean` learns by the window, which all of scoring "
    "(`with windows`) has for every detector. Users have "
    "20 transactions before; about one in a hundred is ten times what its user spends."
)


async def detectors(_: Loads, options: Options) -> Result:
    """Each case in turn, in every round."""
    users = min(options.users, options.count // (2 * WARM))
    seen: dict[tuple[str, str], list[tuple[float, float, float]]] = {case: [] for case in CASES}
    for number in range(options.rounds):
        for case in CASES:
            seen[case].append(_lap(ensemble_of(*case), users, seed=number))
    rows = {case: _row(case, laps) for case, laps in seen.items()}
    return Result(
        name="detectors",
        title="what detectors cost a transaction",
        setting=f"{users:,} users, {options.rounds} rounds in turn, medians",
        columns=COLUMNS,
        rows=[*rows.values()],
        figures=_figures(rows),
        notes=[METHOD],
    )


def _figures(rows: dict[tuple[str, str], dict[str, Cell]]) -> list[Figure]:
    odds, default = rows[ODDS], rows[DEFAULT]
    times = ratio(_number(odds["verbs"]), _number(default["verbs"]))
    return [
        Figure("odds against rolling_mean: score and learn", times, 2.5, 1.8, better="less"),
        Figure("odds: state a user and currency", _number(odds["bytes"]), 64, 19, "bytes", "less"),
    ]


def _number(cell: Cell) -> float | None:
    return cell if isinstance(cell, int | float) else None


def _row(case: tuple[str, str], laps: list[tuple[float, float, float]]) -> dict[str, Cell]:
    deciding, watching = case
    verbs, whole, size = (median(each) for each in zip(*laps, strict=True))
    name = f"{deciding}{watching and f', {watching} watching'}"
    return {"case": name, "verbs": verbs, "whole": whole, "bytes": size}


def _lap(ensemble: Ensemble, users: int, *, seed: int) -> tuple[float, float, float]:
    """Microseconds of the verbs alone and of all scoring, and the state's bytes."""
    windows = {str(UUID(int=number)): Window() for number in range(1, users + 1)}
    scorer, whole = Scorer(ensemble, SIZE), []
    for arrivals in _batches([*windows], 2 * WARM * users, random.Random(seed)):  # noqa: S311 - not for secrets
        gc.collect()
        began = process_time()
        scorer.score(arrivals, windows)
        whole.append((process_time() - began) / len(arrivals))
    verbs = min(_verbs(ensemble, arrivals, windows) for _ in range(5))
    sizes = sum(len(window.state) - 4 for window in windows.values() if window.state)
    return verbs * 1e6, min(whole[len(whole) // 2 :]) * 1e6, sizes / users


def _verbs(ensemble: Ensemble, arrivals: list[Arrival], windows: dict[str, Window]) -> float:
    """Seconds that the two verbs take of a transaction; one without a state learns by the window alone."""
    states = {user: ensemble.read(window.state)[0] for user, window in windows.items()}
    cases = [
        (one.transaction, windows[one.transaction.user_id], states[one.transaction.user_id])
        for one in arrivals
    ]
    entry, began = bytes(ENTRY_BYTES), process_time()
    for at, detector in enumerate(ensemble.all):
        score_one, learn_one, learns = detector.score_one, detector.learn_one, detector.STATE
        for transaction, window, its in cases:
            _, evidence = score_one(window, its[at], transaction)
            if learns:
                learn_one(window, its[at], transaction, flagged=evidence is not None)
            else:
                window.push(transaction.amount, entry, SIZE)
    return (process_time() - began) / len(arrivals)


def _batches(users: list[str], count: int, chance: random.Random) -> Iterator[list[Arrival]]:
    usual = {user: chance.uniform(500, 20_000) for user in users}
    for first in range(0, count, BATCH):
        batch = []
        for offset in range(first, min(first + BATCH, count)):
            user = chance.choice(users)
            amount = int(usual[user] * chance.lognormvariate(0, 0.5))
            amount *= 10 if chance.random() < OUTLIERS else 1
            at, identity = START + timedelta(seconds=600 * offset / len(users)), UUID(int=1 << 100 | offset)
            one = Transaction(str(identity), user, amount, "EUR", at, "paid", None)
            batch.append(Arrival(offset, 0, one))
        yield batch
