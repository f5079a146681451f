"""A flag of `odds` says why in numbers and in one sentence."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.money import amount_text, parse_amount
from schemas.rule import sentence
from schemas.transaction import Transaction
from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.evidence import Evidence
from stream_app.detectors.odds.filter import ABOVE_LIMIT
from stream_app.detectors.odds.profile import Currency, Profile
from stream_app.detectors.odds.settings import Settings
from stream_app.detectors.odds.state import State
from stream_app.window import Window
from tests.support.cardholder import START, Cardholder, payment

LIMITED = Profile(currencies={"USD": Currency("53.00", "900.00")})

NEWCOMER = (
    "USD 400.00 is 12.7 times the USD 31.56 expected of a user of 1 payments where others spend USD 53.00; "
    "flags start at 4.4 times"
)


def flag(profile: Profile, payments: int, amount: str) -> Evidence:
    user = Cardholder(Odds(Settings(), profile))
    user.flags(["10.12"] * payments)
    evidence = user.pay(amount)
    assert isinstance(evidence, Evidence)
    return evidence


@pytest.mark.parametrize(
    ("profile", "payments", "amount", "said"),
    [
        (
            Profile(),
            30,
            "80.00",
            "USD 80.00 is 7.9 times this user's usual USD 10.12 (30 payments); flags start at 3.3 times",
        ),
        (LIMITED, 30, "950.00", "USD 950.00 is above USD 900.00, from where on nearly all were frauds"),
        (
            LIMITED,
            1,
            "400.00",
            NEWCOMER,
        ),
    ],
)
def test_a_flag_is_a_sentence(profile: Profile, payments: int, amount: str, said: str) -> None:
    evidence = msgspec.to_builtins(flag(profile, payments, amount))
    row = {"amount": amount, "currency": "USD", "meta_data": {"detector": "odds", **evidence}}

    assert sentence(row, {"odds": Odds.WORDS}) == said


@pytest.mark.parametrize(
    "profile",
    [
        Profile(),
        LIMITED,
        Profile(threshold=2000, factor=2.5),
        Profile(threshold=ABOVE_LIMIT // 2, currencies=LIMITED.currencies),
        Profile(threshold=ABOVE_LIMIT, currencies=LIMITED.currencies),
        Profile(threshold=ABOVE_LIMIT + 30_000, currencies=LIMITED.currencies),
    ],
)
@pytest.mark.parametrize("payments", [3, 5, 30])
def test_flags_start_where_they_say(profile: Profile, payments: int) -> None:
    odds, state, window = Odds(Settings(), profile), State(), Window()
    for _ in range(payments):
        state = odds.learn_one(window, state, payment("10.12"), flagged=False)
    _, evidence = odds.score_one(window, state, payment("1000000.00"))

    assert evidence is not None
    start = parse_amount(evidence.threshold)
    below, at = (payment(f"{hundredths / 100:.2f}") for hundredths in (start - 1, start))
    assert odds.score_one(window, state, below)[1] is None
    assert odds.score_one(window, state, at)[1] is not None
    assert evidence.flags_from == pytest.approx(start / parse_amount(evidence.mean), rel=0.01)


PROFILES = [
    Profile(),
    LIMITED,
    Profile(threshold=2000, factor=2.5),
    Profile(threshold=100_000, currencies=LIMITED.currencies),  # above what any odds are: the limit alone
    Profile(threshold=ABOVE_LIMIT + 20_000, currencies=LIMITED.currencies),  # only far above the limit
    Profile(threshold=-5000),
]


@given(
    st.sampled_from(PROFILES),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 400)), max_size=30),
    st.sampled_from(["USD", "EUR"]),
)
def test_where_flags_start_now_is_where_the_next_is_flagged(
    profile: Profile, past: list[tuple[int, int]], currency: str
) -> None:
    odds, state, window, at = Odds(Settings(), profile), State(), Window(), START

    def next_one(hundredths: int) -> Transaction:
        return payment(amount_text(hundredths), currency, at=at)

    for amount, hours in past:
        at += timedelta(hours=hours)
        state = odds.learn_one(window, state, next_one(amount), flagged=False)
    start = odds.flags_from(window, state, currency)

    def is_flagged(hundredths: int) -> bool:
        # What may be a habit is none of these amounts, whatever they are.
        return odds.score_one(window, replace(state, mark=0), next_one(hundredths))[1] is not None

    assert is_flagged(10**15) is (start is not None)
    if start is not None:
        assert is_flagged(start)
        assert not start or not is_flagged(start - 1)


def test_strength_begins_at_one() -> None:
    odds = Odds(Settings(odds_threshold=700))

    assert odds.threshold == 700
    assert odds.strength(700) == 1
    assert 0 <= odds.strength(-1_000_000) < odds.strength(699) < 1 < odds.strength(701)
