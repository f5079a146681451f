"""The rule against a batch oracle, and the window that it stands on."""

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import to_builtins

from schemas.transaction import Transaction
from stream_app.scoring import Arrival, Scorer, Scores
from stream_app.state.store import describe
from stream_app.window import Window, encode_window
from stream_app.window.recent import key_of, unknown
from tests.support.detectors import rolling_mean, rolling_scorer

USER = str(UUID(int=1))
AMOUNTS = st.integers(0, 10**20 - 1)
# Small amounts meet the threshold exactly now and then; large ones leave 64 bits.
HISTORIES = st.lists(st.one_of(st.integers(0, 30), AMOUNTS), max_size=70)


def transaction(amount: int, *, identity: str | None = None, user: str = USER) -> Transaction:
    return Transaction(
        id=identity or str(uuid4()),
        user_id=user,
        amount=amount,
        currency="INR",
        txn_date=datetime(2024, 1, 1, tzinfo=UTC),
        status="paid",
        meta_data=None,
    )


def arrival(offset: int, amount: int, *, identity: str | None = None, user: str = USER) -> Arrival:
    return Arrival(offset, 1_700_000_000_000 + offset, transaction(amount, identity=identity, user=user))


def scored(amounts: Sequence[int], scorer: Scorer, window: Window) -> list[bool]:
    arrivals = [arrival(offset, amount) for offset, amount in enumerate(amounts)]
    return [verdict.flag is not None for verdict in scorer.score(arrivals, {USER: window}).verdicts]


@given(HISTORIES, st.integers(1, 25), st.integers(1, 12), st.fractions("1/10", 20, max_denominator=100))
def test_verdicts_are_those_of_the_rule_computed_anew_over_each_prefix(
    amounts: list[int], size: int, minimum: int, factor: Fraction
) -> None:
    size = max(size, minimum)

    verdicts = scored(amounts, rolling_scorer(size, minimum, factor), window := Window())

    for at, amount in enumerate(amounts):
        before = amounts[max(0, at - size) : at]
        mean = Fraction(sum(before), len(before)) if before else Fraction(0)
        assert verdicts[at] == (len(before) >= minimum and mean > 0 and amount > factor * mean)
    assert window.amounts == amounts[-size:]
    assert window.total == sum(window.amounts)
    assert window.mean == (round(Fraction(window.total, len(window.amounts))) if window.amounts else 0)


@given(HISTORIES)
@example([0, 2, 30, 171])
def test_a_flag_says_what_it_was_measured_against(amounts: list[int]) -> None:
    rule, window = rolling_mean(minimum=1), Window()
    for amount in amounts:
        score, flag = rule.score_one(window, None, transaction(amount))
        assert (score >= rule.threshold) == (flag is not None)
        if flag is not None:
            mean = Fraction(sum(window.amounts), len(window.amounts))
            assert flag.window == len(window.amounts)
            assert abs(Fraction(flag.mean) * 100 - mean) <= Fraction(1, 2)
            assert abs(Fraction(flag.threshold) * 100 - mean * 5) <= Fraction(1, 2)
            # Half a unit of the fourth decimal, and what a float of that size cannot say.
            assert abs(flag.ratio - amount / mean) <= 0.00005 + float(amount / mean) * 1e-9
        window.push(amount, bytes(20), size=20)


def test_five_times_the_mean_is_no_anomaly_and_a_hundredth_more_is() -> None:
    rule = rolling_scorer()
    history = [100, 300] * 5

    assert scored([*history, 1000], rule, Window())[-1] is False
    assert scored([*history, 1001], rule, Window())[-1] is True


def test_nine_amounts_are_too_few_for_a_verdict() -> None:
    assert scored([100] * 9 + [10**9], rolling_scorer(), Window())[-1] is False


def test_a_window_of_zeros_flags_nothing() -> None:
    assert scored([0] * 20 + [1], rolling_scorer(), Window())[-1] is False


def test_a_flagged_amount_joins_the_window() -> None:
    verdicts = scored([100] * 10 + [1000, 1000], rolling_scorer(), window := Window())

    assert verdicts[-2:] == [True, True]
    assert window.amounts[-2:] == [1000, 1000]


def test_the_same_content_while_the_id_is_among_the_last_20_is_scored_once() -> None:
    again = str(uuid4())
    windows = {USER: Window()}

    arrivals = [arrival(0, 5, identity=again), arrival(1, 5, identity=again)]
    scores = rolling_scorer().score(arrivals, windows)

    assert (len(scores.verdicts), scores.duplicates) == (1, 1)
    assert windows[USER].amounts == [5]


@pytest.mark.parametrize("size", [5, 20, 200])
def test_an_id_is_known_among_the_last_20_whatever_the_windows_size(size: int) -> None:
    again = str(uuid4())
    arrivals = [arrival(at, 5, identity=again if at in {0, 20, 41} else None) for at in range(42)]

    scores = rolling_scorer(size, minimum=1).score(arrivals, {USER: Window()})

    assert (len(scores.verdicts), scores.duplicates) == (41, 1)


@given(
    st.lists(st.sampled_from([bytes(16), bytes(8) + b"\1" * 8, bytes(15) + b"\1"]), max_size=40),
    st.sampled_from([0, 0x0101010101, 1 << 60]),
)
def test_ids_are_found_whole_and_only_those_kept(ids: list[bytes], amount: int) -> None:
    window = Window()
    for identity in ids:
        assert (window.find(unknown(identity)) >= 0) == (key_of(identity) in window.recent_keys)
        window.push(amount, unknown(identity), size=20)
    assert window.recent_keys == [key_of(identity) for identity in ids][-20:]


@given(st.lists(AMOUNTS, max_size=60), st.integers(0, 60))
def test_replaying_from_any_point_of_a_finished_window_changes_nothing(
    amounts: list[int], start: int
) -> None:
    arrivals = [arrival(offset, amount) for offset, amount in enumerate(amounts)]
    windows = {USER: Window()}
    rolling_scorer().score(arrivals, windows)
    before = encode_window(windows[USER])

    scores = rolling_scorer().score(arrivals[start:], windows)

    assert scores == Scores(replayed=len(amounts[start:]))
    assert encode_window(windows[USER]) == before


def test_users_do_not_see_each_other() -> None:
    other = str(UUID(int=2))
    windows = {USER: Window(), other: Window()}
    arrivals = [arrival(at, 100 if at % 2 else 10_000, user=USER if at % 2 else other) for at in range(40)]

    scores = rolling_scorer().score(arrivals, windows)

    assert all(verdict.flag is None for verdict in scores.verdicts)
    assert windows[USER].amounts == [100] * 20


def test_a_window_is_described_newest_first_in_decimal_text() -> None:
    described = describe(USER, Window.of([100, 250], last_offset=7))

    assert to_builtins(described) == {
        "user_id": USER,
        "count": 2,
        "mean": "1.75",
        "sum": "3.50",
        "amounts": ["2.50", "1.00"],
        "last_offset": 7,
        "updated_at": "1970-01-01T00:00:00+00:00",
    }
