"""A profile is fitted to histories whose constants are known, whatever the labels are like."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from random import Random

import msgspec
import pytest

from schemas.money import parse_amount
from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.profile import Currency, Profile
from stream_app.detectors.odds.sample import Sample
from stream_app.detectors.odds.settings import Settings
from stream_app.detectors.odds.state import State
from stream_app.window import Window
from tests.support.cardholder import START, payment
from tests.support.ranking import fitted
from tests.support.spending import Labelled, Spending

Label = Callable[[Labelled], bool | None]
SPENDING = Spending(seed=1, users=120, limit=20_000)
HISTORY = list(SPENDING.history())
NEXT = list(replace(SPENDING, seed=2).history())


def honest(one: Labelled) -> bool | None:
    return one.fraud


def measured(profile: Profile, history: Iterable[Labelled]) -> tuple[float, float]:
    """Precision and recall of what the amounts say, at the profile's threshold."""
    odds, states, window = Odds(Settings(), profile), dict[str, State](), Window()
    flagged = found = frauds = 0
    for transaction, _, explained in history:
        state = states.get(transaction.user_id, State())
        flag = odds.score_one(window, state, transaction)[1] is not None
        states[transaction.user_id] = odds.learn_one(window, state, transaction, flagged=flag)
        flagged, found, frauds = flagged + flag, found + (flag and explained), frauds + explained
    return found / max(flagged, 1), found / frauds


@pytest.fixture(scope="module")
def profile() -> Profile:
    return fitted(HISTORY, honest)


def test_what_is_known_of_a_currency_is_found(profile: Profile) -> None:
    mean = sum(one.transaction.amount for one in HISTORY if not one.fraud) / len(HISTORY)
    [(code, currency)] = profile.currencies.items()

    assert code == "CHF"
    assert parse_amount(currency.mean) == pytest.approx(mean, rel=0.03)
    limit = parse_amount(currency.limit or "0")
    above = [one.fraud for one in HISTORY if one.transaction.amount > limit]
    assert limit <= SPENDING.limit
    assert sum(above) > 0.95 * len(above) > 20


def test_the_constants_are_near_to_those_of_the_history(profile: Profile) -> None:
    assert 4 <= profile.factor <= 8
    assert 0.2 <= profile.share <= 0.7
    assert 0.002 <= profile.base <= 0.02


def test_the_threshold_holds_on_what_comes_later(profile: Profile) -> None:
    precision, recall = measured(profile, NEXT)

    assert precision > 0.9
    assert recall > 0.85


def test_without_labels_the_means_are_all_that_is_learned(profile: Profile) -> None:
    unlabelled = fitted(HISTORY, lambda _: None)

    mean = unlabelled.currencies["CHF"].mean
    assert unlabelled == Profile(currencies={"CHF": Currency(mean)})
    assert float(mean) == pytest.approx(float(profile.currencies["CHF"].mean), rel=0.1)


RANDOM = Random(7)


@pytest.mark.parametrize(
    "label",
    [
        lambda one: one.fraud if RANDOM.random() > 0.02 else not one.fraud,
        lambda one: one.fraud if RANDOM.random() > 0.5 else None,
        lambda one: one.fraud if one.transaction.txn_date.month == 3 else None,
        lambda one: one.fraud or RANDOM.random() < 0.005,
    ],
    ids=["contradicting", "missing", "late", "not explained by amounts"],
)
def test_labels_that_are_wrong_missing_late_or_of_other_frauds_spoil_nothing(label: Label) -> None:
    precision, recall = measured(fitted(HISTORY, label), NEXT)

    assert precision > 0.85
    assert recall > 0.65


@pytest.mark.parametrize("label", [lambda one: not one.fraud, lambda _: True, lambda _: False])
def test_nonsense_teaches_no_threshold(label: Label) -> None:
    profile = fitted(HISTORY[:8000], label)

    assert profile.threshold is None
    assert all(one.limit is None for one in profile.currencies.values())


def test_an_amount_by_mistake_is_not_the_mean() -> None:
    fitting = Odds.fitting(Settings())
    for number in range(300):
        fitting.add(payment("10.00" if number else "999999999999999999.99", at=START), None)

    assert fitting.profile().currencies["USD"].mean == pytest.approx("10.00", abs=0.01)


def test_what_is_rare_declined_or_nothing_is_no_currencys_mean() -> None:
    fitting = Odds.fitting(Settings())
    for number in range(300):
        fitting.add(payment("10.00", "EUR", "declined"), None)
        fitting.add(payment("0.00", "GBP"), None)
        if number < 50:
            fitting.add(payment("10.00", "SEK"), None)
        fitting.add(payment("10.00", "usd"), None)

    assert [*fitting.profile().currencies] == ["USD"]


def test_a_sample_is_bounded_and_of_whole_users() -> None:
    sample, paid = Sample(1000), dict[str, list[int]]()
    for number in range(20_000):
        user = f"{number * 7919 % 500}"
        paid.setdefault(user, []).append(number)
        one = msgspec.structs.replace(payment("0.00", user=user), amount=number)
        sample.add(one, 20_000_000 + number // 100, -1)

    kept = dict[int, list[int]]()
    for key, amount, *_ in sample.rows(1000):
        kept.setdefault(key, []).append(amount)
    assert 300 < sample.count(1000) <= 1000
    assert all(amounts in paid.values() for amounts in kept.values())
    assert sample.currencies == ["USD"] * len(kept)
    fewer = {key for key, *_ in sample.rows(200)}
    assert 0 < sample.count(200) <= 200
    assert fewer < kept.keys()


def test_a_history_of_nothing_gives_the_defaults() -> None:
    assert Odds.fitting(Settings()).profile() == Profile()


def test_a_profile_is_of_the_rule_and_does_not_touch_other_currencies(profile: Profile) -> None:
    bare, taught = Odds(Settings()), Odds(Settings(), profile)
    state = State(20, 20_000, 9000, 17_000_000)

    assert len({bare.rule, taught.rule, Odds(Settings(), Profile()).rule}) == 3
    other = Odds(Settings(), msgspec.structs.replace(Profile(), currencies=profile.currencies))
    for amount in ("5", "35", "80"):
        paid = payment(amount, "SEK", at=START + timedelta(days=1))
        assert other.score_one(Window(), state, paid) == bare.score_one(Window(), state, paid)
