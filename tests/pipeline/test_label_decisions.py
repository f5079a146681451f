"""Labels between batches reach the detector that asks, and after crashes the verdicts are the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.decision import LABEL, Decision
from schemas.labels import TransactionLabel
from schemas.transaction import Decoder
from stream_app.detectors import verdict_names
from stream_app.detectors.merchant_labels.runs import encode_run, with_label
from stream_app.scoring import Arrival, MerchantRun
from stream_app.settings import Settings
from stream_app.state.decided.deciding import Deciders
from stream_app.state.decided.log import UnappliedError
from stream_app.state.merchants import known_runs, run_key
from stream_app.window import Window
from tests.support.fakes import FakeRecord
from tests.support.logged_partition import STEPS, Logged, LoggedPartition
from tests.support.traffic import START, traffic

MERCHANTS = ["bakery", "cinema", "Δ kiosk"]
DECIDERS = Deciders(Settings(detector="merchant_labels", _env_file=None))


@dataclass(frozen=True)
class Given:
    """A label, of a transaction at a merchant of that number."""

    merchant: int
    day: int
    fraud: bool = True
    explained: bool = False

    @property
    def body(self) -> dict[str, Any]:
        date = START + timedelta(self.day)
        label = TransactionLabel("", date, "", MERCHANTS[self.merchant], self.fraud, self.explained)
        body: dict[str, Any] = msgspec.to_builtins(label)
        return body


def label(installation: LoggedPartition, one: Given) -> None:
    installation.decide(one.body, LABEL)


def records(count: int) -> list[FakeRecord]:
    """Each user's payments at the merchants in turn."""
    found = []
    for offset, one in enumerate(traffic(count, users=3, seed=5)):
        value = msgspec.json.decode(one.value) | {"merchant_id": MERCHANTS[offset % 3]}
        found.append(FakeRecord(offset, one.key, msgspec.json.encode(value)))
    return found


def runs_at(installation: LoggedPartition, offset: int) -> dict[str, MerchantRun | None]:
    """By the labels that Postgres says held there."""
    runs = dict[str, MerchantRun | None]()
    for seq, start in sorted(installation.world.rows.applied.items()):
        if start <= offset:
            one = msgspec.convert(Decision.decode(installation.log[seq - 1].value).body, TransactionLabel)
            day, before = one.txn_date.toordinal(), runs.get(one.merchant_id)
            runs[one.merchant_id] = with_label(before, day, fraud=one.fraud, explained=one.explained)
    return runs


def oracle(installation: LoggedPartition, arriving: list[FakeRecord]) -> list[bytes]:
    """Each row, scored by itself."""
    rows, windows, decoder = list[bytes](), dict[str, Window](), Decoder(verdict_names=verdict_names())
    scorer = DECIDERS.by_settings.scorer
    for record in arriving:
        transaction = decoder.decode(record.value or b"", record.key, record.timestamp)
        arrival = Arrival(record.offset, record.timestamp, transaction)
        its_window = {transaction.user_id: windows.setdefault(transaction.user_id, Window())}
        runs = known_runs([*MERCHANTS], partial(notes_of, runs_at(installation, record.offset)))
        [verdict] = scorer.score([arrival], its_window, runs).verdicts
        rows.append(verdict.encoded()[0])
    return rows


def notes_of(runs: dict[str, MerchantRun | None], keys: Sequence[bytes]) -> list[bytes | None]:
    """As a partition has them."""
    notes = {run_key(merchant): encode_run(run) for merchant, run in runs.items() if run}
    return [notes.get(key) for key in keys]


LABELS = st.lists(
    st.builds(Given, st.integers(0, 2), st.integers(-5, 1), st.booleans(), st.booleans()), max_size=4
)


@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 30), LABELS), max_size=6), st.integers(1, 40)
)
@example([("kafka", 30, [Given(0, -3), Given(0, -2)]), ("windows", 30, [Given(1, 0), Given(1, -1)])], 7)
async def test_crashes_between_any_two_steps_come_to_the_verdicts_of_the_labels_that_were_known(
    crashes: list[tuple[str, int, list[Given]]], last_batch_size: int
) -> None:
    installation, arriving = LoggedPartition(deciders=DECIDERS), records(120)

    for step, batch_size, labels in crashes:
        for one in labels:
            label(installation, one)
        await installation.crash(arriving, step, batch_size)
    await installation.run(arriving, last_batch_size)
    await installation.owner()

    assert [one.encoded()[0] for one in installation.world.kafka.scored] == oracle(installation, arriving)
    assert installation.world.windows.content == dict(installation.world.kafka.changelog)
    assert sorted(installation.world.rows.applied) == [*range(1, len(installation.log) + 1)]


async def test_frauds_in_a_row_flag_their_merchant_and_a_legitimate_label_ends_that() -> None:
    installation, arriving = LoggedPartition(deciders=DECIDERS), records(90)
    flagged = list[set[str]]()

    async def take(count: int) -> None:
        before = len(installation.world.kafka.scored)
        await installation.run(arriving[: before + count], 10)
        new = installation.world.kafka.scored[before:]
        flagged.append(
            {one.transaction.merchant_id or "" for one in new if "merchant_frauds" in str(one.encoded()[1])}
        )

    await take(30)
    for one in (Given(0, -9), Given(0, -8), Given(2, -8, explained=True), Given(2, -7, explained=True)):
        label(installation, one)
    await take(30)
    label(installation, Given(0, -1, fraud=False))
    await take(30)

    assert flagged == [set(), {"bakery"}, set()]


async def test_a_label_that_is_none_stops_the_partition() -> None:
    installation = LoggedPartition(deciders=DECIDERS)
    installation.log.append(Logged(2, Decision(1, LABEL, {"id": 7}, "ann", "", START).encode()))

    with pytest.raises(UnappliedError, match="decision 1 is no label: "):
        await installation.owner()


def test_runs_are_read_in_one_go_and_only_of_the_merchants_at_hand() -> None:
    asked = list[list[bytes]]()

    def notes(keys: Any) -> list[bytes | None]:
        asked.append(keys)
        return [None for _ in keys]

    runs = known_runs({"b", "a"}, notes)

    assert asked == [[run_key("a"), run_key("b")]]
    assert runs("a", START) is None
