"""What detectors are known to get wrong: `odds` gets it right, and the default rule stands beside it."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.evidence import Evidence
from stream_app.detectors.odds.profile import Currency, Profile
from stream_app.detectors.odds.settings import Settings
from stream_app.detectors.odds.state import State
from stream_app.window import Window
from tests.support.cardholder import START, Cardholder, payment
from tests.support.detectors import rolling_mean

KNOWN = Profile(currencies={"USD": Currency("53.00"), "JPY": Currency("8000")})
ODDS = {"no profile": Odds(Settings()), "a profile": Odds(Settings(), KNOWN)}
ROLLING_MEAN = rolling_mean()


@pytest.fixture(params=ODDS)
def user(request: pytest.FixtureRequest) -> Cardholder:
    return Cardholder(ODDS[request.param])


@pytest.fixture
def known_user() -> Cardholder:
    return Cardholder(ODDS["a profile"])


@pytest.fixture
def by_the_default() -> Cardholder:
    return Cardholder(ROLLING_MEAN)


def spent_first(user: Cardholder, times: int, amount: str, currency: str = "USD") -> Cardholder:
    user.flags([amount] * times, currency)
    return user


def test_another_currency_is_not_another_amount(user: Cardholder, by_the_default: Cardholder) -> None:
    for one in (user, by_the_default):
        assert not spent_first(one, 12, "50").pay("5000", "JPY")


def test_much_in_a_strong_currency_is_seen_by_who_knows_the_currency(known_user: Cardholder) -> None:
    evidence = spent_first(known_user, 12, "5000", "JPY").pay("900.00", "USD")

    assert isinstance(evidence, Evidence)
    assert (evidence.window, evidence.population_mean) == (0, "53.00")


def test_what_was_declined_does_not_teach(user: Cardholder, by_the_default: Cardholder) -> None:
    for one, right in ((user, True), (by_the_default, False)):
        spent_first(one, 12, "10").flags(["400"] * 20, status="Declined")

        assert (one.pay("400") is not None) is right


def test_card_checks_of_nothing_do_not_hide_a_theft(user: Cardholder, by_the_default: Cardholder) -> None:
    for one, right in ((user, True), (by_the_default, False)):
        assert (spent_first(one, 20, "0.00").pay("10000.00") is not None) is right


def test_a_first_payment_after_a_card_check_is_no_theft(user: Cardholder) -> None:
    assert not spent_first(user, 1, "0.00").pay("50.00")


def test_two_hundredths_are_not_suspicious(user: Cardholder, by_the_default: Cardholder) -> None:
    for one, right in ((user, False), (by_the_default, True)):
        spent_first(one, 19, "0.00").pay("0.01")

        assert (one.pay("0.02") is not None) is right


def test_a_new_account_that_spends_hundredfold(known_user: Cardholder, by_the_default: Cardholder) -> None:
    assert any(known_user.flags(["10000.00"] * 9))
    assert not any(by_the_default.flags(["10000.00"] * 9))


def test_frauds_do_not_make_each_other_usual(user: Cardholder, by_the_default: Cardholder) -> None:
    assert all(spent_first(user, 20, "10").flags(["60"] * 6))
    assert spent_first(by_the_default, 20, "10").flags(["60"] * 6) == [True] + [False] * 5


def test_a_life_may_change(user: Cardholder) -> None:
    flags = spent_first(user, 30, "10").flags(["80"] * 60)

    assert flags == [True] * 12 + [False] * 48
    assert user.pay("800")


def test_a_rent_is_flagged_once(user: Cardholder, by_the_default: Cardholder) -> None:
    def half_a_year(one: Cardholder) -> list[bool]:
        flags = []
        for _ in range(6):
            flags.append(spent_first(one, 20, "5").pay("800") is not None)
            one.now += timedelta(days=20)
        return flags

    assert half_a_year(user) == [True] + [False] * 5
    assert half_a_year(by_the_default) == [True] * 6


def test_of_two_rents_one_is_known(user: Cardholder) -> None:
    """One amount is kept in mind at a time, and stays when the other one is flagged."""
    months = []
    for _ in range(6):
        spent_first(user, 20, "5")
        months.append((user.pay("800") is not None, user.pay("300") is not None))
        user.now += timedelta(days=20)

    assert months[0] == (True, True)
    assert months[1:] == [(False, True)] * 5


def test_what_arrives_late_changes_no_verdict_on_the_usual(
    user: Cardholder, by_the_default: Cardholder
) -> None:
    for one, right in ((user, False), (by_the_default, True)):
        spent_first(one, 20, "50")
        for _ in range(20):
            assert not one.pay("1", at=START - timedelta(days=5))

        assert (one.pay("50") is not None) is right


def most_unflagged(unflagged: Callable[[int], bool]) -> int:
    """The largest amount in hundredths that a thief gets away with."""
    low, high = 0, 1 << 40
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if unflagged(middle) else (low, middle)
    return low


def payments_until_hundredfold(user: Cardholder) -> int:
    """How many payments it takes to 100 times the usual, always just under what is flagged."""
    spent_first(user, 20, "10")
    for number in range(1, 1000):
        state: State = user.states["USD"]
        at = user.now + timedelta(hours=12)

        def unflagged(hundredths: int, state: State = state, at: datetime = at) -> bool:
            paid = payment(f"{hundredths / 100:.2f}", at=at)
            return user.detector.score_one(Window(), state, paid)[1] is None

        amount = most_unflagged(unflagged)
        user.pay(f"{amount / 100:.2f}")
        if amount >= 100_000:
            return number
    return 1000


def test_a_thief_who_knows_the_threshold_is_slow(user: Cardholder) -> None:
    assert payments_until_hundredfold(user) >= 200


def test_the_default_gives_way_within_a_few_payments(by_the_default: Cardholder) -> None:
    spent_first(by_the_default, 20, "10")
    amounts = [1000] * 20
    payments = 0
    while amounts[-1] < 100_000:
        payments += 1
        amounts = [*amounts[1:], 5 * sum(amounts) // 20]
        assert not by_the_default.pay(f"{amounts[-1] / 100:.2f}")

    assert payments <= 16
