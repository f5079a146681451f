"""The filter in integers against the same in floats, at any state that any payments lead to."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import exp, inf, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.filter import ABOVE_LIMIT, SUSPICIOUS, Filter, Known, is_habit
from stream_app.detectors.odds.profile import Currency, Profile
from stream_app.detectors.odds.settings import Settings
from stream_app.detectors.odds.state import MOST_TAUGHT, State, decode, encode, hour_of
from stream_app.detectors.odds.table import densities
from stream_app.window import Window
from tests.support.cardholder import payment

NAT, RISK, STEPS = 512, 1 << 20, 64
ROW = 12
PROFILES = [
    Profile(currencies={"USD": Currency("53.00", "220.00")}),
    Profile(factor=2.5, base=0.002, share=0.7, hours=72, currencies={"USD": Currency("8123456.78")}),
    Profile(factor=9.75, base=0.04, share=0.1, hours=960),
]
FILTERS = [Filter(profile, ROW) for profile in PROFILES]
# Half of 1/32 nat in what a risk becomes, and some units of 1/512 in scores.
SCORE_ERROR, RISK_ERROR = 0.03, 0.02

hours = st.datetimes(timezones=st.just(UTC)).map(hour_of)
amounts = st.one_of(
    st.integers(0, 20_000), st.integers(0, 10**20 - 1), st.sampled_from([0, 1, 1000, 5300, 22_000, 22_001])
)
paid = st.tuples(amounts, st.one_of(hours, st.integers(18_000_000, 18_005_000)))


class Floats:
    """The model as it is written in books."""

    def __init__(self, profile: Profile, known: Known) -> None:
        self.profile, self.known = profile, known

    def ratio(self, state: State, amount: int) -> float:
        taught, total, mean = state.taught, state.total, self.known.mean
        if mean:
            return amount / ((total + mean) / (taught + 1))
        return amount / max(total / taught, 100) if taught else 0.0

    def odds(self, state: State, amount: int) -> float:
        """Of the amount alone: the largest for any amount up to this one."""
        taught = min(state.taught, 64)
        if self.known.mean:
            row = densities()[taught]
        elif not taught:
            return 0.0
        else:
            row = densities()[64 + taught if taught <= 12 else taught - 1]
        last = min(int(self.ratio(state, amount) * STEPS), len(row) - 1)
        return max(self._odds(row, (cell + 0.5) / STEPS) for cell in range(last + 1))

    def _odds(self, row: Sequence[int], x: float) -> float:
        factor = self.profile.factor
        return (_between(row, x / factor) - _between(row, x)) / NAT - log(factor)

    def risk(self, state: State, hour: int) -> float:
        base = self.profile.base
        if not state.hour:
            return base
        past = max(hour - state.hour, 0)
        return base + (state.risk / RISK - base) * exp(-past / self.profile.hours)

    def score(self, state: State, amount: int, hour: int) -> float:
        if self.known.limit is not None and amount > self.known.limit:
            return inf
        fraud = self.risk(state, hour) * self.profile.share
        habit = state.mark and is_habit(state, amount, hour)
        its = self.odds(state, amount)
        return (min(its, 0) if habit else its) + log(fraud / (1 - fraud))

    def risk_after(self, state: State, amount: int, hour: int) -> float:
        its = 0.0 if state.mark and is_habit(state, amount, hour) else self.odds(state, amount)
        risk, share = self.risk(state, hour), self.profile.share
        stolen = risk * (share * exp(min(its, 12)) + 1 - share)
        return min(stolen / (stolen + 1 - risk), 0.9)


def _between(row: Sequence[int], x: float) -> float:
    place = max(x * STEPS - 0.5, 0)
    cell = int(place)
    part = place - cell
    return row[cell] * (1 - part) + row[min(cell + 1, len(row) - 1)] * part


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(range(len(PROFILES))), st.lists(paid, min_size=1, max_size=40))
def test_each_step_is_that_of_floats(which: int, payments: list[tuple[int, int]]) -> None:
    integers = FILTERS[which]
    known = integers.known("USD")
    floats = Floats(PROFILES[which], known)
    state = State()
    for amount, hour in payments:
        weighed = integers.weigh(state, amount, hour, known)
        after = integers.learn(state, amount, hour, known, weighed)
        wanted = floats.score(state, amount, hour)
        if wanted == inf:
            assert weighed[0] >= ABOVE_LIMIT
        elif abs(floats.ratio(state, amount) * STEPS % 1 - 0.5) < 0.499:  # not on the edge of a cell
            # Priors are kept for every 64th risk.
            error = SCORE_ERROR + 40 / max(weighed[2] - 64, 1)
            assert weighed[0] / NAT == pytest.approx(wanted, abs=error, rel=0.005)
        assert after.hour == max(hour, state.hour)
        assert 0 <= after.risk < RISK
        if after.taught > state.taught and amount and after.hour > state.hour:
            assert weighed[0] < SUSPICIOUS
            assert after.total == state.total + amount
            assert after.risk / RISK == pytest.approx(
                floats.risk_after(state, amount, hour), rel=RISK_ERROR, abs=3 / RISK
            )
        assert decode(encode(after)) == after
        state = after


@given(st.lists(paid, max_size=30), st.tuples(amounts, amounts), hours)
def test_more_money_is_never_less_suspicious(
    payments: list[tuple[int, int]], two: tuple[int, int], hour: int
) -> None:
    one = FILTERS[0]
    for currency in ("USD", "SEK"):
        known, state = one.known(currency), State()
        for amount, at in payments:
            state = one.learn(state, amount, at, known, one.weigh(state, amount, at, known))
        if not state.mark:
            less, more = (one.weigh(state, amount, hour, known)[0] for amount in sorted(two))
            assert less <= more


@given(st.lists(paid, max_size=30), st.integers(0, 10_000))
def test_time_that_goes_back_neither_raises_a_risk_nor_lowers_it(
    payments: list[tuple[int, int]], back: int
) -> None:
    one = FILTERS[0]
    known, state = one.known("USD"), State()
    for amount, at in payments:
        state = one.learn(state, amount, at, known, one.weigh(state, amount, at, known))
    if payments:
        now, before = (one.weigh(state, 5300, state.hour - ago, known)[2] for ago in (0, back))
        assert now == before == state.risk


def test_what_has_taught_is_bounded_and_the_usual_still_changes() -> None:
    one = FILTERS[0]
    known, state = one.known("USD"), State()
    for amount in [1000] * 400 + [2000] * 600:
        state = one.learn(state, amount, 18_000_000, known, one.weigh(state, amount, 18_000_000, known))

    assert state.taught == MOST_TAUGHT
    assert 1900 < state.total / state.taught <= 2000


@pytest.mark.parametrize("year", [1, 9999])
def test_any_year_will_do(year: int) -> None:
    odds, state, window = Odds(Settings(), PROFILES[0]), State(), Window()
    for day in (1, 2, 3):
        at = datetime(year, 12, day, tzinfo=UTC)
        state = odds.learn_one(window, state, payment("50", at=at), flagged=False)

    assert decode(encode(state)) == state
    assert odds.score_one(window, state, payment("200", at=datetime(year, 12, 4, tzinfo=UTC)))[1]


def test_giants_are_flagged_and_kept() -> None:
    odds, window = Odds(Settings(), PROFILES[2]), Window()
    state, giant = State(), payment("999999999999999999.99")
    for _ in range(300):
        state = odds.learn_one(window, state, giant, flagged=False)

    assert decode(encode(state)) == state
    assert not odds.score_one(window, state, giant)[1]
    assert odds.score_one(window, State(12, 12_000, 9000, 1), giant)[1]


def test_a_state_of_ordinary_amounts_takes_19_bytes_at_most() -> None:
    largest = State(MOST_TAUGHT, (1 << 40) - 1, RISK * 9 // 10, (1 << 27) - 1, 255, 65_521, 3_700_000)

    assert len(encode(largest)) == 19
    assert len(encode(State())) < 19


@given(st.binary(max_size=40))
def test_other_bytes_are_refused_or_a_state(packed: bytes) -> None:
    try:
        state = decode(packed)
    except ValueError:
        return
    assert decode(encode(state)) == state


def test_scoring_changes_nothing() -> None:
    odds, window, state = Odds(Settings(), PROFILES[0]), Window(), State(20, 20_000, 9000, 17_000_000)
    small, large = payment("12"), payment("80")
    first = odds.score_one(window, state, small)
    odds.score_one(window, state, large)

    assert odds.score_one(window, state, small) == first
    assert state == State(20, 20_000, 9000, 17_000_000)
    assert odds.learn_one(window, state, small, flagged=False) == Odds(Settings(), PROFILES[0]).learn_one(
        window, state, small, flagged=False
    )
