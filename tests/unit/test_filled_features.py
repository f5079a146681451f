"""Features that are filled from rows, against those that were kept from the beginning."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.rules.features import DAY, HOUR, Feature
from schemas.transaction import Transaction
from stream_app.scoring.features import Features, Value
from stream_app.scoring.filling import Filling
from stream_app.scoring.rules.applied import form_of
from stream_app.scoring.states import PAST, Kept, joined, parts_of
from stream_app.window import Window

START = datetime(2026, 1, 1, tzinfo=UTC)
ALL = [
    Feature("count", HOUR),
    Feature("max", HOUR),
    Feature("sum", DAY),
    Feature("distinct", DAY, "merchant_id"),
    Feature("count", 7 * DAY),
    Feature("mean", 30 * DAY),
    Feature("max", 30 * DAY),
    Feature("first_seen", 0, "merchant_id"),
    Feature("first_seen", 0, "country"),
    Feature("hours_since_last"),
]
OTHERS = b"abcdof another detector"
features = st.lists(st.sampled_from(ALL), max_size=6, unique=True)
payments = st.lists(
    st.tuples(st.integers(1, 3 * DAY), st.integers(0, 9_999), st.sampled_from([None, "a", "b", "c"])),
    min_size=1,
    max_size=30,
)

SEVERAL = [(2 * DAY, 100, "abc"[number % 4 : number % 4 + 1] or None) for number in range(14)]


def transactions(given_payments: Sequence[tuple[int, int, str | None]]) -> list[Transaction]:
    found, at = [], START
    for gap, amount, merchant in given_payments:
        at += timedelta(seconds=gap)
        one = Transaction("", "u", amount, "EUR", at, "paid", None, merchant_id=merchant, country=merchant)
        found.append(one)
    return found


def kept_window(needed: Sequence[Feature], before: Sequence[Transaction]) -> Window:
    """A window that has kept these features from the beginning, beside another detector's state."""
    kept = Features(needed)
    state = kept.fresh
    for one in before:
        state = kept.learn(state, one)
    window = Window.of([100])
    window.use("EUR")
    window.state = joined([OTHERS, Kept(PAST, form_of(kept)).pack(state)]) if needed else OTHERS
    return window


def read(window: Window, needed: Sequence[Feature], now: Transaction) -> Sequence[Value]:
    reader = Features(needed)
    parts = parts_of(window.state)
    return reader.read(reader.decode(parts[Kept(PAST, form_of(reader)).tag]), now)


def all_teach(_: Transaction) -> bool:
    return True


@settings(max_examples=60)
@example([Feature("mean", 30 * DAY)], [Feature("count", 7 * DAY)], [(2 * DAY, 100, None)] * 14)
@example([Feature("distinct", 30 * DAY, "country")], [Feature("distinct", 7 * DAY, "country")], SEVERAL)
@given(features, features.filter(bool), payments)
def test_they_are_as_if_they_had_been_kept_and_those_that_were_stay(
    had: list[Feature], new: list[Feature], given_payments: list[tuple[int, int, str | None]]
) -> None:
    *before, now = transactions(given_payments)
    both = [*dict.fromkeys([*had, *new])]
    window, whole = kept_window(had, before), kept_window(both, before)

    filling = Filling(new, {"u": window}, all_teach)
    filling.add(before)
    filling.finish()

    wanted = [one for one in both if one in new or one.function != "hours_since_last"]
    assert read(window, wanted, now) == read(whole, wanted, now)
    assert parts_of(window.state)[OTHERS[:4]] == OTHERS[4:]


def test_each_currency_has_its_own_and_untaught_rows_count_nowhere() -> None:
    euros = kept_window([], [])
    euros.use("JPY")
    euros.push(100, bytes(20), 20)
    asked = [Feature("count", DAY)]
    one, other, third = transactions([(1, 100, None)] * 3)
    before = [one, replace(other, currency="jpy"), replace(third, status="declined")]

    filling = Filling(asked, {"u": euros}, lambda one: one.status != "declined")
    filling.add(before)
    filling.finish()

    now = transactions([(60, 100, None)])[0]
    assert {name: read(its, asked, now) for name, its in euros.by_currency.items()} == {
        "EUR": [1],
        "JPY": [1],
    }


def test_a_long_past_is_as_large_as_one_that_was_kept() -> None:
    """What was kept is old: it goes, as far as there is no room for it."""
    fine, day = Feature("count", HOUR), Feature("distinct", HOUR, "merchant_id")
    old = transactions([(1, 5, "a")] * 3)
    window = kept_window([fine], old)
    later = [Transaction("", "u", 7, "EUR", START + timedelta(days=40), "paid", None, merchant_id="b")]

    filling = Filling([day], {"u": window}, all_teach)
    filling.add(later)
    filling.finish()

    now = Transaction("", "u", 7, "EUR", START + timedelta(days=40, minutes=1), "paid", None)
    assert read(window, [fine, day], now) == [0, 1]
