"""`merchant_labels` is `odds` and the merchant's run: in one score, and in one explanation."""

from dataclasses import replace
from math import exp, log

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.labels import is_explained
from schemas.rule import sentence
from schemas.scored import Flag, encode_scored
from schemas.transaction import Transaction
from stream_app.detectors.merchant_labels import MerchantLabels
from stream_app.detectors.merchant_labels.chances import Chances, together
from stream_app.detectors.merchant_labels.profile import Profile
from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.densities import NAT
from stream_app.detectors.odds.filter import ABOVE_LIMIT
from stream_app.detectors.odds.profile import Currency
from stream_app.detectors.odds.settings import Settings
from stream_app.detectors.odds.state import State
from stream_app.scoring import Arrival, Ensemble, MerchantRun, Scorer
from stream_app.window import Window
from tests.support.cardholder import START, payment
from tests.support.spending import Spending

PROFILE = Profile(
    currencies={"USD": Currency("50.00", "900.00")}, sure=(400, 900), lasts=(990,) * 20 + (500, 100)
)
ODDS = st.integers(-14 * NAT, 14 * NAT)
TODAY = START.toordinal()


def knowing(run: MerchantRun | None, profile: Profile = PROFILE) -> MerchantLabels:
    detector = MerchantLabels(Settings(), profile)
    Ensemble([detector]).tell_runs(lambda merchant, _: run if merchant == "m" else None)
    return detector


def at_merchant(amount: str, merchant: str | None = "m") -> Transaction:
    return msgspec.structs.replace(payment(amount, "USD"), merchant_id=merchant)


def regular(odds: Odds) -> State:
    state = State()
    for _ in range(20):
        state = odds.learn_one(Window(), state, payment("50.00", "USD"), flagged=False)
    return state


def probability(odds: int) -> float:
    return 1 / (1 + exp(-odds / NAT))


@given(ODDS, ODDS)
def test_two_chances_together_are_what_remains_of_neither(amount: int, merchant: int) -> None:
    both = 1 - (1 - probability(amount)) * (1 - probability(merchant))
    exact = NAT * (log(both) - log(1 - probability(amount)) - log(1 - probability(merchant)))

    assert together(amount, merchant) == pytest.approx(exact, abs=2)
    assert together(amount, merchant) == together(merchant, amount)
    assert together(amount, merchant) <= together(amount + 1, merchant)
    assert together(amount, merchant) >= max(amount, merchant)
    assert together(ABOVE_LIMIT + 7, merchant) == ABOVE_LIMIT + 7


@pytest.mark.parametrize(
    ("run", "days", "of_thousand"),
    [
        (MerchantRun(1, 0, 0), 1, 396),
        (MerchantRun(2, 0, 18), 1, 891),
        (MerchantRun(9, 0, 18), 3, 441),  # 0.9 * 0.99 * 0.99 * 0.5
        (MerchantRun(9, 0, 30), 2, 9),
        (MerchantRun(9, 0, 30), 200_000, None),
        (MerchantRun(0, 0, 0), 1, None),
    ],
)
def test_a_chance_is_by_length_age_and_time_since_the_last(
    run: MerchantRun, days: int, of_thousand: int | None
) -> None:
    chance = Chances(PROFILE.sure, PROFILE.lasts).of(run, run.last + days)

    assert (chance and chance.of_thousand) == of_thousand


@pytest.mark.parametrize("amount", ["0.00", "40.00", "700.00", "1000.00"])
@pytest.mark.parametrize("merchant", [None, "other", "m"])
def test_where_no_run_is_known_it_says_what_odds_says(amount: str, merchant: str | None) -> None:
    detector, odds = knowing(None), Odds(Settings(), PROFILE)
    state, transaction = regular(odds), at_merchant(amount, merchant)

    score, evidence = detector.score_one(Window(), state, transaction)
    its_score, its_evidence = odds.score_one(Window(), state, transaction)

    assert score == its_score
    assert (evidence and msgspec.to_builtins(evidence)) == (
        its_evidence and msgspec.to_builtins(its_evidence)
    )
    assert detector.learn_one(Window(), state, transaction, flagged=True) == odds.learn_one(
        Window(), state, transaction, flagged=False
    )


def test_a_flag_says_what_of_amount_and_merchant_it_is_by() -> None:
    detector = knowing(MerchantRun(3, TODAY - 12, TODAY - 9))
    state, words = regular(detector), {"merchant_labels": detector.WORDS}

    def said(transaction: Transaction) -> tuple[str, bool]:
        evidence = detector.score_one(Window(), state, transaction)[1]
        assert evidence is not None
        row = msgspec.json.decode(encode_scored(transaction, Flag(detector.NAME, evidence))[0])
        return sentence(row, words), is_explained(row["meta_data"])

    of_merchant = "frauds in a row at the merchant: 3, since 12 days; 82 of 100 such were frauds"
    usual = "USD 700.00 is 14.0 times this user's usual USD 50.00 (20 payments)"
    assert said(at_merchant("40.00")) == (f"USD 40.00: {of_merchant}", False)
    assert said(at_merchant("700.00")) == (f"{usual}; {of_merchant}", True)
    text, explained = said(at_merchant("700.00", "other"))
    assert text.startswith(f"{usual}; flags start at")
    assert explained
    limit = "USD 1,000.00 is above USD 900.00, from where on nearly all were frauds"
    assert said(at_merchant("1000.00")) == (f"{limit}; {of_merchant}", True)


def test_a_merchants_run_makes_an_ordinary_amount_likelier_a_fraud_and_teaches_all_the_same() -> None:
    plain, warned = knowing(None), knowing(MerchantRun(1, TODAY - 9, TODAY - 9))
    state, transaction = regular(plain), at_merchant("50.00")

    low, high = (one.score_one(Window(), state, transaction)[0] for one in (plain, warned))

    assert probability(int(low)) < 0.01
    assert probability(int(high)) == pytest.approx(0.36, abs=0.02)
    assert plain.learn_one(Window(), state, transaction, flagged=False) == warned.learn_one(
        Window(), state, transaction, flagged=True
    )


def test_going_over_from_odds_keeps_what_is_known_of_users_and_both_together_have_each_its_own() -> None:
    history = [
        msgspec.structs.replace(one.transaction, id=f"{at:032x}")
        for at, one in enumerate(Spending(seed=2, users=5, days=30).history())
    ]
    window_of, half = {one.user_id: Window() for one in history}, len(history) // 2
    odds, both = Odds(Settings(), PROFILE), knowing(None)

    def scores(ensemble: Ensemble, start: int, end: int) -> list[float | None]:
        arrivals = [Arrival(at, 0, history[at]) for at in range(start, end)]
        found = Scorer(ensemble, 20).score(arrivals, window_of)
        assert found.states_lost == 0
        return [one.score for one in found.verdicts]

    scores(Ensemble([odds]), 0, half)
    gone_over = scores(Ensemble([both]), half, len(history))
    window_of = {one.user_id: Window() for one in history}
    scores(Ensemble([odds]), 0, half)
    assert gone_over == scores(Ensemble([odds]), half, len(history))
    for order in ([both, odds], [odds, both]):
        window_of = {one.user_id: Window() for one in history}
        together = scores(Ensemble(order), 0, half) + scores(Ensemble(order), half, len(history))
        window_of = {one.user_id: Window() for one in history}
        strengths = scores(Ensemble([odds]), 0, len(history))
        assert together == [odds.strength(one or 0) for one in strengths]


def test_without_history_the_profile_is_the_default() -> None:
    assert MerchantLabels.fitting(Settings()).profile() == Profile()


def fitted(spending: Spending) -> Profile:
    fitting = MerchantLabels.fitting(Settings())
    for one in spending.history():
        fitting.add(one.transaction, one.fraud)
    return fitting.profile()


@pytest.mark.parametrize("lasting", [12, 20])
def test_how_long_merchants_stay_compromised_is_found(lasting: int) -> None:
    spending = Spending(seed=3, users=100, days=60, merchants=40, compromised=0.005, factor=8.0)

    profile = fitted(replace(spending, compromised_days=lasting))

    last_day = profile.lasts.index(min(profile.lasts))
    assert lasting - 3 <= last_day <= lasting
    assert min(profile.lasts[: lasting - 5]) > 900
    assert min(profile.sure[1:]) > 900
    assert profile.threshold is not None


def test_frauds_that_nothing_explains_do_not_make_merchants_suspicious() -> None:
    profile = fitted(Spending(seed=4, users=100, days=50, merchants=40, unexplained=0.01))

    assert profile.sure[0] < 100
    assert profile.sure == tuple(sorted(profile.sure))


def test_the_detector_says_what_it_was_taught() -> None:
    rules = {MerchantLabels(Settings(), one).rule for one in (None, Profile(), Profile(sure=(1,)))}

    assert len(rules) == 3
