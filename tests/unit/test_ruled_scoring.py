"""Rules beside detectors: what becomes of a verdict, in rows and over batches."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from infra.runtime.settings import SettingsError
from schemas.rule import sentence
from schemas.rules.rule_set import RuleSpec
from schemas.suppressions import Suppression
from schemas.transaction import Transaction
from stream_app.detectors import ensemble_of
from stream_app.scoring import Arrival, Ensemble, Scorer, Scores, Verdict
from stream_app.scoring.rules.applied import NO_DATA, Rules
from stream_app.scoring.rules.evaluator import Suppressions
from stream_app.window import Window, decode_window, encode_window
from tests.support.detectors import rolling_mean

DATE = datetime(2024, 3, 3, tzinfo=UTC)
USER = str(UUID(int=1))
SCHEMA = Draft202012Validator(json.loads(files("schemas").joinpath("scored.schema.json").read_text()))


def payment(number: int, amount: int, **fields: Any) -> Transaction:
    date, status = DATE + timedelta(minutes=number), fields.pop("status", "paid")
    return Transaction(str(UUID(int=number)), USER, amount, "EUR", date, status, None, **fields)


def scored(ensemble: Ensemble, transactions: Sequence[Transaction], batch: int = 100) -> list[Scores]:
    """Batches in turn, with windows that are packed between."""
    scorer, packed, found = Scorer(ensemble, 20), encode_window(Window()), []
    for start in range(0, len(transactions), batch):
        window = decode_window(packed)
        arrivals = [Arrival(start + at, 0, one) for at, one in enumerate(transactions[start : start + batch])]
        found.append(scorer.score(arrivals, {USER: window}))
        packed = encode_window(window)
    return found


def last(rules: Sequence[RuleSpec], amount: int, **more: Any) -> Verdict:
    """The verdict on an amount after ten of 10.00, by rolling_mean and these rules."""
    payments = [payment(number, 1000) for number in range(1, 11)] + [payment(11, amount)]
    beside = NO_DATA._replace(**more)
    ensemble = Ensemble([rolling_mean()], rules=Rules(rules, ["rolling_mean"], beside))
    return scored(ensemble, payments)[0].verdicts[-1]


def meta(verdict: Verdict) -> dict[str, Any]:
    """What the row says, which is as the published schema has it."""
    row = json.loads(verdict.encoded()[0])
    SCHEMA.validate(row)
    found: dict[str, Any] = row["meta_data"]
    return found


MANY = RuleSpec("many", 'count("1h") >= 10', '{count("1h")} in an hour', severity="high")


def test_a_rule_alone_flags_with_its_reasons() -> None:
    verdict = last([MANY, RuleSpec("more", 'count("1h") > 9', severity="critical")], 1000)

    said = meta(verdict)
    numbers = {'count("1h")': "10"}
    assert said == {
        "is_anomaly": True,
        "detector": "rules",
        "rule": verdict.flag and verdict.flag.rule,
        "severity": "critical",
        "reasons": [
            {"rule": "more", "severity": "critical", "message": "more", "numbers": numbers},
            {
                "rule": "many",
                "severity": "high",
                "message": "10 in an hour",
                "numbers": numbers,
            },
        ],
    }
    assert verdict.score == 1.0
    assert sentence(json.loads(verdict.encoded()[0]), {}) == "EUR 10.00: more; 10 in an hour"


def test_a_detectors_flag_has_its_evidence_and_the_reasons() -> None:
    said = meta(last([MANY], 100_000))

    assert (said["detector"], said["ratio"], said["severity"]) == ("rolling_mean", 100.0, "high")
    assert [one["rule"] for one in said["reasons"]] == ["many"]


def test_what_is_allowed_is_no_flag_and_says_what_it_would_have_been() -> None:
    allow = RuleSpec("rent", "amount == 1000", action="allow")
    verdict = last([MANY, allow], 100_000)

    said = meta(verdict)
    assert (said["is_anomaly"], verdict.flag, "reasons" in said) == (False, None, False)
    assert [one["rule"] for one in said["allowed"]] == ["rent"]
    assert said["watched"][0]["detector"] == "rolling_mean"
    assert said["watched"][1]["rule"] == "many"
    assert verdict.score is not None
    assert verdict.score < 1


def test_what_is_watched_in_shadow_or_suppressed_never_alerts() -> None:
    watch, shadow = RuleSpec("w", "true", action="watch"), RuleSpec("s", "true", mode="shadow")
    until = Suppressions([Suppression(DATE + timedelta(days=1), user_id=USER)])

    said = meta(last([watch, shadow], 1000))
    suppressed = meta(last([watch, MANY], 100_000, suppressions=until))

    assert [one["rule"] for one in said["watched"]] == ["w"]
    assert [one["rule"] for one in said["shadow"]["rules"]["reasons"]] == ["s"]
    assert not said["is_anomaly"]
    assert not suppressed["is_anomaly"]
    assert [one.get("rule", one.get("detector")) for one in suppressed["watched"]] == [
        "rolling_mean",
        "w",
        "many",
    ]


def test_each_rule_is_counted_by_what_came_of_it() -> None:
    rules = [MANY, RuleSpec("w", "amount == 10", action="watch"), RuleSpec("s", "true", mode="shadow")]
    payments = [payment(number, 1000) for number in range(1, 12)]

    [found] = scored(Ensemble([rolling_mean()], rules=Rules(rules, ["rolling_mean"])), payments)

    assert found.rules == {("many", "flagged"): 1, ("w", "watched"): 11, ("s", "shadow"): 11}
    assert found.shadow_flags == {}


def test_a_revision_repeats_what_rules_said() -> None:
    rules = [MANY, RuleSpec("w", "true", action="watch"), RuleSpec("s", "true", mode="shadow")]
    payments = [payment(number, 1000) for number in range(1, 12)]
    revised = msgspec.structs.replace(payments[-1], status="settled")
    ensemble = Ensemble([rolling_mean()], rules=Rules(rules, ["rolling_mean"]))

    first, again = (found.verdicts[-1] for found in scored(ensemble, [*payments, revised], 11))

    assert {**meta(first), "revision": 2} == meta(again)
    assert meta(first)["watched"]
    assert meta(first)["shadow"]


def test_rules_without_any_change_nothing_but_with_some_have_a_name_of_their_own() -> None:
    plain = Ensemble([rolling_mean()])
    names = [
        Ensemble([rolling_mean()], rules=Rules([one], ["rolling_mean"])).rule
        for one in (MANY, RuleSpec("a", "true"))
    ]

    assert ensemble_of("rolling_mean").rule == plain.rule
    assert len({plain.rule, *names}) == 3
    with pytest.raises(SettingsError, match="rules ask for the score of odds, which does not run"):
        ensemble_of("rolling_mean", rules=[RuleSpec("a", 'score("odds") > 5')])


AMOUNTS = st.sampled_from([100, 1000, 100_000])
RULES = [
    MANY,
    RuleSpec(
        "far", 'amount > 3 * mean("24h") && max("7d") < amount && score("rolling_mean") > 4', action="watch"
    ),
    RuleSpec("new", 'first_seen("country") || distinct("country", "1h") > 2', mode="shadow"),
    RuleSpec("small", "amount == 1 && ratio < 0.01", action="allow"),
]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(AMOUNTS, st.sampled_from(["IN", "LK", None]), st.booleans()), max_size=40),
    st.integers(1, 40),
)
def test_verdicts_do_not_depend_on_where_batches_end(
    payments: list[tuple[int, str | None, bool]], batch: int
) -> None:
    transactions = [
        payment(number, amount, country=country, status="paid" if paid else "declined")
        for number, (amount, country, paid) in enumerate(payments, 1)
    ]
    ensemble = ensemble_of("rolling_mean", "odds", "declined", rules=RULES)

    assert rows(ensemble, transactions, batch) == rows(ensemble, transactions, 100)


def rows(
    ensemble: Ensemble, transactions: Sequence[Transaction], size: int
) -> list[tuple[bytes, float | None]]:
    found = [one for batch in scored(ensemble, transactions, size) for one in batch.verdicts]
    return [(one.encoded()[1], one.score) for one in found]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(AMOUNTS, st.sampled_from(["IN", "LK", None]), st.booleans()), max_size=40),
    st.sampled_from(["rolling_mean", "odds"]),
)
def test_one_detector_with_rules_says_the_same_in_fewer_steps(
    payments: list[tuple[int, str | None, bool]], detector: str
) -> None:
    transactions = [
        payment(number, amount, country=country, status="paid" if paid else "declined")
        for number, (amount, country, paid) in enumerate(payments, 1)
    ]
    rules = [rule for rule in RULES if "rolling_mean" not in rule.when]
    quick, slow = (ensemble_of(detector, "", "declined", rules=rules) for _ in range(2))
    slow.judge_quickly = slow.judge  # type: ignore[method-assign]  # all steps

    assert rows(quick, transactions, 100) == rows(slow, transactions, 100)
