"""A merchant's run is what its labels say, in whatever order they come."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.detectors.merchant_labels.runs import MOST_FRAUDS, decode_run, encode_run, with_label
from stream_app.scoring import MerchantRun

DAYS = st.integers(1, 3_652_059)


@dataclass(frozen=True)
class Given:
    """A label of a transaction of that day."""

    day: int
    fraud: bool
    explained: bool = False


GIVEN = st.builds(Given, st.integers(700_000, 700_060), st.booleans(), st.booleans())


def run_of(labels: Sequence[Given]) -> MerchantRun | None:
    run = None
    for one in labels:
        run = with_label(run, one.day, fraud=one.fraud, explained=one.explained)
    return run


def oracle(labels: Sequence[Given]) -> MerchantRun | None:
    """By the list of the run's days, and the day of the label that ended the run before."""
    days, ended = list[int](), 0
    for one in labels:
        first = days[0] if days else ended
        if not one.fraud and one.day >= first:
            days, ended = [], one.day
        elif one.fraud and not one.explained and (days or one.day >= ended):
            days = sorted([*days, one.day])
    if days:
        return MerchantRun(len(days), days[0], days[-1])
    return MerchantRun(0, ended, ended) if ended else None


@given(st.lists(GIVEN, max_size=30))
def test_a_run_is_of_the_frauds_since_the_latest_legitimate_label(labels: list[Given]) -> None:
    assert run_of(labels) == oracle(labels)


@given(st.lists(GIVEN, min_size=1, max_size=30), st.integers(0, 60))
def test_one_legitimate_label_ends_a_run_and_an_explained_fraud_says_nothing(
    labels: list[Given], day: int
) -> None:
    before = run_of(labels)
    latest = max(one.day for one in labels)

    assert run_of([*labels, Given(day, fraud=True, explained=True)]) == before
    assert run_of([*labels, Given(latest, fraud=False)]) == MerchantRun(0, latest, latest)


@given(st.lists(DAYS, min_size=1, max_size=400))
def test_a_run_is_five_bytes_however_long_it_is(days: list[int]) -> None:
    run = run_of([Given(day, fraud=True) for day in days])

    assert run is not None
    assert run.frauds == min(len(days), MOST_FRAUDS)
    assert run.last == max(days)
    assert len(encode_run(run)) == 5
    assert decode_run(encode_run(run)) == run


@pytest.mark.parametrize("packed", [b"", b"1234", b"123456"])
def test_bytes_of_something_else_are_no_run(packed: bytes) -> None:
    with pytest.raises(ValueError, match="not a merchant's run"):
        decode_run(packed)
