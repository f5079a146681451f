"""`features`: what it costs a transaction to know what its user did before, without all else."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from time import process_time

from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.result import Cell, Column, Figure, Result
from schemas.rules.features import DAY, HOUR, Feature
from schemas.transaction import Transaction
from stream_app.detectors import detector_of
from stream_app.scoring.features import Features
from stream_app.window import Window
from stream_app.window.recent import ENTRY_BYTES

AMOUNTS = [Feature(name, window) for window in (HOUR, DAY, 7 * DAY, 30 * DAY) for name in ("count", "sum")]
MIXED = [
    Feature("count", HOUR),
    Feature("count", DAY),
    Feature("sum", DAY),
    Feature("sum", 7 * DAY),
    Feature("max", 7 * DAY),
    Feature("mean", 30 * DAY),
    Feature("distinct", DAY, "merchant_id"),
    Feature("first_seen", 0, "country"),
]
ALONE = [
    Feature("count", HOUR),
    Feature("mean", 30 * DAY),
    Feature("max", 30 * DAY),
    Feature("distinct", DAY, "merchant_id"),
    Feature("distinct", 30 * DAY, "merchant_id"),
    Feature("first_seen", 0, "merchant_id"),
    Feature("first_seen", 0, "country"),
    Feature("hours_since_last"),
]
MOST = "8 features over 4 windows"
CASES = {
    "count and sum over 4 windows": AMOUNTS,
    MOST: MIXED,
    **{f"{one.function} {one.field} {one.window // HOUR} h": [one] for one in ALONE},
}
DAYS, A_DAY, MERCHANTS, BATCH, WINDOW = 40, 2, 30, 1_000, 20
ABROAD = 0.03
START = datetime(2024, 1, 1, tzinfo=UTC)
COLUMNS = [
    Column("case", "features"),
    Column("time", "read and learn, µs", ".2f"),
    Column("times", "against rolling_mean", ".1f"),
    Column("bytes", "state, bytes", ".0f"),
]
METHOD = (
    "Processor time of one transaction, the least of a round's batches of 1,000, median of rounds: its "
    "user's state from bytes, the features read, the transaction taken in, the state to bytes; for "
    "`rolling_mean` the score and the amount into the window. Users have two payments a day at one of 30 "
    "merchants, for 40 days."
)
Batch = list[tuple[int, Transaction]]


async def features(_: Loads, options: Options) -> Result:
    """Each case in turn, in every round."""
    users = min(options.users, options.count // (A_DAY * DAYS), 500)
    seen: dict[str, list[tuple[float, float, float]]] = {case: [] for case in CASES}
    for number in range(options.rounds):
        batches = [*_batches(users, random.Random(number))]  # noqa: S311 - not for secrets
        for case, needed in CASES.items():
            time, size = _lap(Features(needed), batches, users)
            seen[case].append((time, time / _rolling(batches, users), size))
    rows = {case: _row(case, laps) for case, laps in seen.items()}
    return Result(
        name="features",
        title="what features cost a transaction",
        setting=f"{users:,} users, {options.rounds} rounds in turn, medians",
        columns=COLUMNS,
        rows=[*rows.values()],
        figures=[Figure(MOST, median(time for time, _, _ in seen[MOST]), 12, 6, "µs", "less")],
        notes=[METHOD],
    )


def _row(case: str, laps: list[tuple[float, float, float]]) -> dict[str, Cell]:
    time, times, size = (median(each) for each in zip(*laps, strict=True))
    return {"case": case, "time": time, "times": times, "bytes": size}


def _lap(kept: Features, batches: list[Batch], users: int) -> tuple[float, float]:
    """Microseconds, and the bytes of a state in the end."""
    states, times = [kept.encode(kept.fresh)] * users, []
    for batch in batches:
        began = process_time()
        for user, one in batch:
            state = kept.decode(states[user])
            kept.read(state, one)
            states[user] = kept.encode(kept.learn(state, one))
        times.append((process_time() - began) / len(batch))
    return min(times[len(times) // 2 :]) * 1e6, sum(map(len, states)) / users


def _rolling(batches: list[Batch], users: int) -> float:
    """Microseconds of the default detector."""
    detector, windows, times = detector_of("rolling_mean"), [Window() for _ in range(users)], []
    entry, score_one = bytes(ENTRY_BYTES), detector.score_one
    for batch in batches:
        began = process_time()
        for user, one in batch:
            score_one(windows[user], None, one)
            windows[user].push(one.amount, entry, WINDOW)
        times.append((process_time() - began) / len(batch))
    return min(times[len(times) // 2 :]) * 1e6


def _batches(users: int, chance: random.Random) -> Iterator[Batch]:
    merchants = [[f"merchant-{chance.randrange(10_000)}" for _ in range(MERCHANTS)] for _ in range(users)]
    seconds, count = 0.0, users * A_DAY * DAYS // BATCH
    for _ in range(count):
        batch: Batch = []
        for _ in range(BATCH):
            seconds += chance.expovariate(users * A_DAY / DAY)
            user, at = chance.randrange(users), START + timedelta(seconds=seconds)
            amount, merchant = int(chance.lognormvariate(8, 0.6)), chance.choice(merchants[user])
            country = "US" if chance.random() < ABROAD else "IN"
            one = Transaction("", "", amount, "EUR", at, "paid", None, 0, merchant, None, country)
            batch.append((user, one))
        yield batch
