"""A backtest of a file gives what the pipeline gives of the same transactions."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infra.produce.files import open_input
from infra.produce.options import Reading
from schemas.scored import Flag
from schemas.transaction import Transaction
from stream_app.commands.backtest.contender import Contender
from stream_app.commands.backtest.history import FileHistory
from stream_app.commands.backtest.windows import BoundedWindows, quick_entries
from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.settings import Settings as OddsSettings
from stream_app.scoring import Detector, Ensemble, Scorer
from stream_app.scoring.verdict import identities_of
from stream_app.window.recent import date_of, entries_of, is_same
from tests.support.detectors import rolling_mean
from tests.support.fakes import FakeRecord, World
from tests.support.largest import Largest, Settings
from tests.support.traffic import Sent, revised, traffic

DETECTORS: dict[str, Detector[Any]] = {
    "rolling_mean": rolling_mean(8, 3),
    "largest": Largest(Settings(window_size=8, largest_factor=2, _env_file=None)),
    "odds": Odds(OddsSettings(window_size=8, _env_file=None)),
}

Given = tuple[float | None, Flag | None]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history") / "history.csv"


def with_refused(transactions: Sequence[Sent]) -> list[Sent]:
    """Every seventh is of an amount that is refused."""
    return [replace(one, amount="-1") if number % 7 == 0 else one for number, one in enumerate(transactions)]


def write(path: Path, transactions: Sequence[Sent]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(field.name for field in fields(Sent))
        table.writerows(map(astuple, transactions))


def backtested(path: Path, contender: Contender, block_bytes: int) -> tuple[dict[int, Given], int]:
    """Score and flag of each row that got a first verdict, and how many are revisions."""
    found, row, revisions = dict[int, Given](), 0, 0
    history = FileHistory(Reading(), datetime.now(UTC), 65_536, timedelta(hours=24), block_bytes=block_bytes)
    with open_input(path) as opened, contender:
        for rows in history.read(opened)[1]:
            verdicts = contender.judge(rows.transactions)
            revisions += len(verdicts.again) - verdicts.duplicates
            numbers = [row + at for at in range(len(rows.transactions) + len(rows.refused))]
            row += len(numbers)
            for before, (place, _) in reversed([*enumerate(rows.refused)]):
                del numbers[place + before]
            for place, (number, score) in enumerate(zip(numbers, verdicts.scores, strict=True)):
                if score is not None:
                    found[number] = score, verdicts.flags.get(place)
    return found, revisions


@settings(max_examples=25)
@example(("rolling_mean", "currency"), 3_000, 5, 1)  # has flags
@example(("largest", "user"), 500, 2, 1)
@example(("odds", "currency"), 3_000, 1000, 1)
@given(
    st.tuples(st.sampled_from(sorted(DETECTORS)), st.sampled_from(["currency", "user"])),
    st.sampled_from([500, 3_000, 1 << 19]),
    st.sampled_from([2, 5, 1000]),
    st.integers(0, 2**32),
)
async def test_the_verdicts_are_those_of_the_pipeline(
    path: Path, rule: tuple[str, str], block_bytes: int, most_windows: int, seed: int
) -> None:
    name, by_currency = rule[0], rule[1] == "currency"
    detector = DETECTORS[name]
    transactions = with_refused(revised(traffic(150, users=8, seed=seed), seed=seed))
    world = World(Scorer(detector, 8, by_currency=by_currency))
    await world.run([FakeRecord(offset, sent.key, sent.value) for offset, sent in enumerate(transactions)])
    write(path, transactions)
    contender = Contender(
        name, Ensemble([detector]), by_currency=by_currency, windows=BoundedWindows(most_windows)
    )

    found, revisions = backtested(path, contender, block_bytes)

    assert revisions == sum(one.revision > 0 for one in world.kafka.scored)
    expected = {one.offset: (one.score, one.flag) for one in world.kafka.scored if not one.revision}
    assert found == expected


CONTENTS = st.builds(
    Transaction,
    id=st.sampled_from([str(UUID(int=1)), str(UUID(int=2))]),
    user_id=st.just(""),
    amount=st.sampled_from([0, 1]),
    currency=st.sampled_from(["EUR", "eur"]),
    txn_date=st.sampled_from([datetime(1, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)]),
    status=st.sampled_from(["paid", ""]),
    meta_data=st.sampled_from([None, {}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": [1]}]),
    unknown=st.sampled_from([0, 1]),
    country=st.sampled_from([None, "IN"]),
)


@given(CONTENTS, CONTENTS)
def test_transactions_are_known_again_as_the_worker_knows_them(one: Transaction, other: Transaction) -> None:
    quick, exact = quick_entries([one, other]), entries_of([one, other], identities_of([one.id, other.id]))

    assert {len(entry) for entry in quick} == {len(entry) for entry in exact}
    assert (quick[0][:8] == quick[1][:8]) == (exact[0][:8] == exact[1][:8])
    assert (quick[0] == quick[1]) == (exact[0] == exact[1])
    assert is_same(*quick) == is_same(*exact)
    assert date_of(quick[0]).year == 2000  # it can be read, though it says nothing
