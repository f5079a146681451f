"""Each feature against what its definition says of all transactions that there were."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rules.features import DAY, FIELDS, HOUR, MOST_VALUES, STEPS, Feature, most_bytes, tier_of
from schemas.transaction import Transaction
from stream_app.scoring.features import Features, Value
from stream_app.scoring.features.generated import FAST_FORMS, Generated
from stream_app.scoring.states import MOST_BYTES

WINDOWS = (300, 900, HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY, 90 * DAY)
FIRST = datetime(1, 1, 1, tzinfo=UTC)
GOLDEN = (
    "00060010902060c25f1771dd0e0000000300030000000300000000000000000000000000000000000000000000000000"
    "000000000000000000000000030000000000000001000000000000000000000002000100000000000000000002000100"
    "00000000000000000101b93753b72f0754c00000000000000300000001248a06f1"
)
START = datetime(2024, 2, 28, 11, 58, 30, tzinfo=UTC)

features = st.one_of(
    st.builds(Feature, st.sampled_from(["count", "sum", "mean", "max"]), st.sampled_from(WINDOWS)),
    st.builds(Feature, st.just("distinct"), st.sampled_from(WINDOWS), st.sampled_from(FIELDS)),
    st.builds(Feature, st.just("first_seen"), st.just(0), st.sampled_from(FIELDS)),
    st.just(Feature("hours_since_last")),
)
sets = st.lists(features, max_size=8, unique=True)
# From one to the next, in seconds: mostly forward, sometimes back or up to a day ahead.
gaps = st.one_of(
    st.just(0),
    st.integers(0, 900),
    st.integers(0, 2 * DAY),
    st.integers(-2 * DAY, DAY),
    st.integers(-100 * DAY, 100 * DAY),
)
amounts = st.one_of(
    st.integers(0, 20_000), st.integers(0, 10**20 - 1), st.sampled_from([0, 2**32 - 1, 2**64])
)
texts = st.sampled_from([None, "a", "b", "c", "é"])
payments = st.lists(st.tuples(gaps, amounts, st.tuples(texts, texts)), max_size=25)
Payment = tuple[int, int, tuple[str | None, str | None]]


def transaction(
    at: datetime, amount: int, merchant: str | None = None, country: str | None = None
) -> Transaction:
    return Transaction("", "", amount, "EUR", at, "paid", None, merchant_id=merchant, country=country)


def transactions(given_payments: Sequence[Payment]) -> list[Transaction]:
    found, at = [], START
    for gap, amount, texts in given_payments:
        at = max(at + timedelta(seconds=gap), FIRST)
        found.append(transaction(at, amount, *texts))
    return found


def step_of(one: Transaction, tier: int) -> int:
    return int((one.txn_date - FIRST).total_seconds()) // STEPS[tier]


def kept(before: Sequence[Transaction], tier: int, longest: int) -> list[Transaction]:
    """Of the steps that have something the newest, as many as the page says."""
    steps = longest // STEPS[tier]
    newest = step_of(max(before, key=lambda one: one.txn_date), tier)
    some = sorted({step_of(one, tier) for one in before})[-(steps + 24) :]
    oldest = max(some[0], newest - steps - DAY // STEPS[tier] + 1)
    return [one for one in before if step_of(one, tier) >= oldest]


def expected(feature: Feature, longest: int, before: Sequence[Transaction], now: Transaction) -> Value:
    if feature.function == "hours_since_last":
        if not before:
            return None
        newest = max(one.txn_date for one in before)
        return max(int((now.txn_date - newest).total_seconds()) // HOUR, 0)
    value = getattr(now, feature.field) if feature.field else None
    if feature.function == "first_seen":
        return value is not None and value not in last_values(before, feature.field)
    tier = tier_of(feature.window)
    last = step_of(now, tier)
    first = last - feature.window // STEPS[tier] + 1
    its = kept(before, tier, longest) if before else []
    if feature.function == "distinct":
        found = sorted(its, key=lambda one: step_of(one, tier))
        came_last = {getattr(one, feature.field): step_of(one, tier) for one in found}
        came_last.pop(None, None)
        return sum(first <= step <= last for step in sorted(came_last.values())[-MOST_VALUES:])
    amounts = [one.amount for one in its if first <= step_of(one, tier) <= last]
    return {
        "count": len(amounts),
        "sum": sum(amounts),
        "max": max(amounts, default=None),
        "mean": Fraction(sum(amounts), len(amounts)) if amounts else None,
    }[feature.function]


def last_values(before: Sequence[Transaction], field: str) -> list[str]:
    values = [value for one in reversed(before) if (value := getattr(one, field)) is not None]
    return [*dict.fromkeys(values)][:MOST_VALUES]


def longest_of(needed: Sequence[Feature]) -> dict[int, int]:
    return {
        tier: max((one.window for one in needed if one.window and tier_of(one.window) == tier), default=0)
        for tier in range(len(STEPS))
    }


def check(needed: Sequence[Feature], before: Sequence[Transaction], restarts: Collection[int] = ()) -> bytes:
    """See that each transaction finds what is expected; the state in the end."""
    whole, longest = Features(needed), longest_of(needed)
    state = whole.fresh
    for at, one in enumerate(before):
        if at in restarts:
            whole = Features(needed)
            state = whole.decode(whole.encode(state))
        wanted = [expected(feature, longest[tier_of(feature.window)], before[:at], one) for feature in needed]
        assert [*whole.read(state, one)] == wanted
        state = whole.learn(state, one)
        assert len(whole.encode(state)) <= most_bytes(needed)
    return state


def minutes_apart(count: int, merchants: int = 1, *, minutes: int = 1) -> list[Transaction]:
    at = [START + timedelta(minutes=minutes * number) for number in range(count)]
    return [transaction(one, number, f"m{number % merchants}", "IN") for number, one in enumerate(at)]


def after(needed: Sequence[Feature], payments: Sequence[Transaction]) -> bytes:
    whole = Features(needed)
    state = whole.fresh
    for one in payments:
        state = whole.learn(state, one)
    return state


@given(sets, payments, st.sets(st.integers(0, 25)))
def test_a_feature_is_what_its_definition_says(
    needed: list[Feature], given_payments: list[Payment], restarts: set[int]
) -> None:
    check(needed, transactions(given_payments), restarts)


@pytest.mark.parametrize("late", [0.0, 0.3])
def test_values_are_told_apart_up_to_64(late: float) -> None:
    random, at, payments = Random(5), START, []
    for _ in range(250):
        at += timedelta(minutes=random.randrange(12))
        back = timedelta(hours=random.randrange(30) if random.random() < late else 0)
        payments.append(transaction(at - back, 1, f"m{random.randrange(100)}"))

    check([Feature("distinct", DAY, "merchant_id"), Feature("first_seen", 0, "merchant_id")], payments)
    check([Feature("distinct", HOUR, "merchant_id"), Feature("distinct", 7 * DAY, "merchant_id")], payments)


@settings(max_examples=40)
@given(sets, payments)
def test_what_is_in_time_and_not_too_large_is_read_without_unpacking(
    needed: list[Feature], given_payments: list[Payment]
) -> None:
    whole, fast = Features(needed), Generated(FAST_FORMS[0], needed)
    state = whole.fresh
    for one in transactions([(abs(gap), amount % 10**7, texts) for gap, amount, texts in given_payments]):
        found = fast.advance(state, one)
        assert found == (whole.read(state, one), whole.learn(state, one))
        state = found[1]


@settings(max_examples=40)
@given(sets, sets, payments)
def test_a_feature_that_stays_keeps_its_state_where_others_come_and_go(
    ones: list[Feature], others: list[Feature], given_payments: list[Payment]
) -> None:
    both = [one for one in ones if one in others]
    in_order = transactions([(abs(gap), amount, texts) for gap, amount, texts in given_payments])
    changed, alone = Features(others), Features(both)
    kept, state = after(both, in_order[:10]), changed.decode(after(ones, in_order[:10]))
    for one in in_order[10:]:
        values = changed.read(state, one)
        assert [values[others.index(feature)] for feature in both] == [*alone.read(kept, one)]
        state, kept = changed.learn(state, one), alone.learn(kept, one)
    parts = slice(1, 2 + changed.fresh[1])
    assert changed.learn(state, transaction(START, 1))[parts] == changed.fresh[parts]


def test_a_new_feature_begins_with_nothing_and_one_that_goes_leaves_nothing() -> None:
    former, now = [Feature("max", DAY)], [Feature("count", HOUR), Feature("first_seen", 0, "country")]
    *before, last = minutes_apart(10)
    features = Features(now)
    state = features.decode(after(former, before))

    assert [*features.read(state, last)] == [0, True]
    assert len(features.learn(state, last)) == len(after(now, [last]))


def test_a_payment_that_is_a_day_ahead_hides_nothing_from_those_in_time() -> None:
    needed = [Feature("count", HOUR), Feature("count", DAY), Feature("count", 7 * DAY)]
    payments = minutes_apart(20)
    ahead = transaction(payments[10].txn_date + timedelta(days=1), 0)
    state = after(needed, [*payments[:10], ahead, *payments[10:]])

    now = transaction(payments[-1].txn_date + timedelta(minutes=1), 0)
    assert [*Features(needed).read(state, now)] == [20, 20, 20]


EIGHT = [
    Feature("count", HOUR),
    Feature("count", DAY),
    Feature("sum", DAY),
    Feature("sum", 7 * DAY),
    Feature("max", 7 * DAY),
    Feature("mean", 30 * DAY),
    Feature("distinct", DAY, "merchant_id"),
    Feature("first_seen", 0, "country"),
]


@pytest.mark.parametrize("minutes", [1, 7, 60, 60 * 24])
def test_a_state_is_bounded_whatever_a_user_does(minutes: int) -> None:
    most = most_bytes(EIGHT)
    state = after(EIGHT, minutes_apart(2_000, 1_500, minutes=minutes))
    large = transaction(START + timedelta(minutes=2_000 * minutes), 10**20 - 1, "m", "IN")

    assert len(state) <= len(Features(EIGHT).learn(state, large)) <= most <= MOST_BYTES


def test_a_state_has_the_same_bytes_in_every_process() -> None:
    state = after(EIGHT, minutes_apart(3, 2))

    assert state.hex() == GOLDEN


@settings(max_examples=30)
@given(sets, payments, st.data())
def test_damaged_bytes_are_refused_or_harmless(
    needed: list[Feature], given_payments: list[Payment], data: st.DataObject
) -> None:
    features, now = Features(needed), transaction(START, 10, "a", "b")
    damaged = bytearray(after(needed, transactions(given_payments)))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])

    for bad in (bytes(damaged), cut):
        try:
            state = features.decode(bad)
        except ValueError:
            continue
        features.decode(features.learn(state, now))
