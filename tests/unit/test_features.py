"""Each feature against what its definition says of all transactions that there were."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from schemas.rules.features import DAY, FIELDS, HOUR, MOST_VALUES, STEPS, Feature, most_bytes, tier_of
from schemas.transaction import Transaction
from stream_app.scoring.features import Features, Value

WINDOWS = (300, 900, HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY, 90 * DAY)
FIRST = datetime(1, 1, 1, tzinfo=UTC)
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


@given(sets, payments, st.sets(st.integers(0, 25)))
def test_a_feature_is_what_its_definition_says(
    needed: list[Feature], given_payments: list[Payment], restarts: set[int]
) -> None:
    whole, longest = Features(needed), longest_of(needed)
    state, before = whole.fresh, transactions(given_payments)
    for at, one in enumerate(before):
        if at in restarts:
            whole = Features(needed)
            state = whole.decode(whole.encode(state))
        wanted = [expected(feature, longest[tier_of(feature.window)], before[:at], one) for feature in needed]
        assert [*whole.read(state, one)] == wanted
        state = whole.learn(state, one)
        assert len(whole.encode(state)) <= most_bytes(needed)
