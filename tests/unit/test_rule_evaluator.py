"""Rules as they run: what a tree walk in fractions says, compiled."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.rules.checking import feature_of
from schemas.rules.features import Feature
from schemas.rules.rule_set import RuleSpec
from schemas.rules.tree import (
    Call,
    Chain,
    Comparison,
    Conditional,
    Listing,
    Literal,
    Member,
    Name,
    Node,
    Unary,
    parts_of,
    text_of,
)
from schemas.scored import Reason
from schemas.suppressions import Suppression
from schemas.transaction import Transaction
from stream_app.scoring.rules.compiler import Compiler
from stream_app.scoring.rules.evaluator import Evaluator, Suppressions
from stream_app.scoring.rules.translation import Translation
from stream_app.window import Window
from tests.support.expressions import conditions, numbers

DATE = datetime(2024, 3, 3, 23, 59, tzinfo=UTC)  # a Sunday
USER = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
LISTS: Mapping[str, Sequence[str]] = {"blocked": ("m1", "paid", "1")}


def payment(amount: int = 1000, **fields: Any) -> Transaction:
    its = {"currency": "EUR", "txn_date": DATE, "status": "paid", "meta_data": None, **fields}
    return Transaction(USER, USER, amount, **its)


# --- the oracle: a walk over the tree


class Walk:
    """What an expression is for a transaction: True, False, a Fraction, a text, or None where absent."""

    def __init__(
        self, transaction: Transaction, window: Window, past: Mapping[Feature, Any], score: float | None
    ) -> None:
        self.transaction, self.window, self.past, self.score = transaction, window, past, score

    def of(self, node: Node) -> Any:
        match node:
            case Literal():
                return node.value
            case Name() | Call(of=None) if (feature := feature_of(node)) is not None:
                return self.feature(feature)
            case Name():
                return self.field(node.name)
            case Member():
                found = (self.transaction.meta_data or {}).get(node.name)
                return found if isinstance(found, str) else None
            case Call():
                return self.call(node)
        return self.operation(node)

    def operation(self, node: Node) -> Any:
        match node:
            case Unary():
                value = self.of(node.operand)
                return not value if node.operator == "!" else None if value is None else -value
            case Conditional():
                return self.of(node.yes if self.of(node.condition) else node.no)
            case Chain():
                return self.chain(node)
            case Comparison():
                return self.comparison(node)
        raise TypeError(node)

    def feature(self, feature: Feature) -> Any:
        value = self.past[feature]
        if feature.function == "first_seen" or value is None:
            return value or False if feature.function == "first_seen" else None
        return Fraction(value) / (100 if feature.function in {"sum", "mean", "max"} else 1)

    def field(self, name: str) -> Any:
        if name == "amount":
            return Fraction(self.transaction.amount, 100)
        if name == "ratio":
            mean = Fraction(self.window.total, self.window.count) if self.window.count else 0
            return Fraction(self.transaction.amount) / mean if mean else None
        value = getattr(self.transaction, name)
        return value.upper() if name == "currency" else value

    def chain(self, node: Chain) -> Any:
        values = [self.of(one) for one in node.operands]
        if node.operators[0] == "&&":
            return all(values)
        if node.operators[0] == "||":
            return any(values)
        value = values[0]
        for sign, other in zip(node.operators, values[1:], strict=True):
            if value is None or other is None or (sign == "/" and not other):
                return None
            operators = {"+": Fraction.__add__, "-": Fraction.__sub__, "*": Fraction.__mul__}
            value = operators.get(sign, Fraction.__truediv__)(value, other)
        return value

    def comparison(self, node: Comparison) -> bool:
        left = self.of(node.left)
        if isinstance(node.right, Listing):
            return left is not None and left in [self.of(one) for one in node.right.items]
        right = self.of(node.right)
        if left is None or right is None:
            return False
        return COMPARED[node.operator](left, right)

    def call(self, node: Call) -> Any:
        values = [self.of(one) for one in ((node.of,) if node.of else ()) + node.arguments]
        first = values[0]
        if node.function == "in_list":
            return values[1] is not None and values[1] in LISTS.get(first, ())
        if len(values) > 1:
            return None not in values and TEXTS[node.function](*values)
        return first is not None if node.function == "has" else self.number(node.function, first)

    def number(self, function: str, of: Any) -> Fraction | None:
        if function == "score":
            return None if self.score is None else Fraction(self.score)
        if of is None:
            return None
        parts = {"getHours": "hour", "getMinutes": "minute", "getDate": "day"}
        return Fraction(len(of) if function == "size" else getattr(of, parts[function]))


COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TEXTS: Mapping[str, Callable[[str, str], bool]] = {
    "startsWith": lambda one, other: one[: len(other)] == other,
    "endsWith": lambda one, other: other == one[len(one) - len(other) :] and len(other) <= len(one),
    "contains": lambda one, other: one.find(other) >= 0,
}
AMOUNTS = st.sampled_from([0, 1, 100, 2000, 9999, 10**20 - 1])
FIELDS = st.fixed_dictionaries(
    {
        name: st.sampled_from([None, "m1", "IN", "1"])
        for name in ("merchant_id", "card_id", "country", "channel")
    }
)
META = st.sampled_from([None, {}, {"shop": "m1", '"': "a"}, {"shop": 5, "n": "1"}])
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "count": st.integers(0, 9),
    "sum": AMOUNTS,
    "mean": st.one_of(st.none(), st.builds(Fraction, AMOUNTS, st.integers(1, 9)), AMOUNTS),
    "max": st.one_of(st.none(), AMOUNTS),
    "distinct": st.integers(0, 64),
    "first_seen": st.booleans(),
    "hours_since_last": st.one_of(st.none(), st.integers(0, 99)),
}


THOROUGH = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def situations(draw: st.DrawFn) -> tuple[Transaction, Window, float | None]:
    transaction = payment(draw(AMOUNTS), currency="eur", meta_data=draw(META), **draw(FIELDS))
    window = Window.of(draw(st.lists(AMOUNTS, max_size=2)))
    return transaction, window, draw(st.sampled_from([None, 0, -3, 2.5, 1e300]))


def past_of(features: Iterable[Feature], data: st.DataObject) -> dict[Feature, Any]:
    return {one: data.draw(VALUES[one.function], label=one.function) for one in features}


@THOROUGH
@given(st.data(), conditions(), situations())
def test_rules_fire_where_a_walk_over_the_tree_says_so(
    data: st.DataObject, tree: Node, situation: tuple[Transaction, Window, float | None]
) -> None:
    evaluator = Evaluator([RuleSpec("a", text_of(tree))], ["odds"], LISTS)
    past = past_of(evaluator.needed, data)
    transaction, window, score = situation

    ruling = evaluator.reading(lambda _, __: [*past.values()]).judge(transaction, window, None, [score])

    assert (ruling is not None) == bool(Walk(transaction, window, past, score).of(tree))
    assert ruling is None or not ruling.failures


@THOROUGH
@given(st.data(), numbers(3), situations())
def test_numbers_are_exactly_those_of_fractions(
    data: st.DataObject, tree: Node, situation: tuple[Transaction, Window, float | None]
) -> None:
    features = [*{found: None for part in parts_of(tree) if (found := feature_of(part))}]
    past = past_of(features, data)
    namespace = {"read": lambda _, __: [*past.values()], "lists": LISTS}
    transaction, window, score = situation

    compiled = Compiler(Translation(features, ["odds"]), namespace).values([tree])
    [found] = compiled(transaction, window, None, [score])

    number = Walk(transaction, window, past, score).of(tree)
    assert (found and Fraction(*found[:2])) == number
    assert found is None or (type(found[0]), found[1] > 0) == (int, True)


def judged(*rules: RuleSpec, transaction: Transaction | None = None, **more: Any) -> Any:
    evaluator = Evaluator(rules, **more).reading(lambda _, __: [7])
    return evaluator.judge(transaction or payment(), Window(), None, [])


@pytest.mark.parametrize(
    ("when", "fires"),
    [
        ("amount > 9.995 && amount < 10.005 && amount == 10", True),
        ("amount / 3 * 3 == amount && 1 / 3 + 1 / 3 + 1 / 3 == 1 && 7 / 2 == 3.5", True),
        ("1 / (5 - amount) < 0 && 1 / -amount > -0.11 && -1 / -amount == 0.1", True),
        ("1 / (amount - 10) == 0 || 1 / (amount - 10) != 0", False),
        ("!(1 / (amount - 10) == 0)", True),
        ('country != "IN"', False),
        (
            '!(country == "IN") && !has(country) && !in_list("blocked", country)',
            True,
        ),
        ('(has(country) ? country : "none") == "none"', True),
        ("(has(ratio) ? ratio : 5) == 5", True),
        ("txn_date.getDayOfWeek() == 0 && txn_date.getHours() == 23 && txn_date.getDate() == 3", True),
        ('currency == "EUR" && status.contains("ai") && status.size() == 4', True),
        ('meta_data.shop == "7" || has(meta_data.shop)', False),
        ("amount in [9.99, 10] && !(amount in [-10])", True),
    ],
)
def test_conditions_hold_as_the_documents_say(when: str, *, fires: bool) -> None:
    transaction = payment(currency="eur", meta_data={"shop": 7})

    assert (judged(RuleSpec("a", when), transaction=transaction) is not None) == fires


def test_what_fired_is_said_in_numbers_and_a_sentence() -> None:
    when = (
        'count("1h") >= 5 && amount / 3 > 1 && !has(country) && (ratio > 5 || in_list("x", status) || true)'
    )
    message = '{count("1h")} of {amount} {{each}}, {amount / 3} or {5 / 3}, at {country}: {true} {status}'

    [reason] = judged(RuleSpec("a", when, message, severity="low")).flags

    assert reason == Reason(
        "a",
        "low",
        "7 of 10.00 {each}, 3.33 or 1.6667, at none: yes paid",
        {
            'count("1h")': "7",
            "amount": "10.00",
            "has(country)": False,
            'in_list("x", status)': False,
            "status": "paid",
        },
    )
    assert judged(RuleSpec("b", "true")).flags == [Reason("b", "medium", "b")]


def test_actions_and_modes_keep_what_fired_apart_and_the_gravest_first() -> None:
    ruling = judged(
        RuleSpec("a", "true"),
        RuleSpec("b", "true", severity="critical"),
        RuleSpec("c", "true", action="watch"),
        RuleSpec("d", "true", action="allow"),
        RuleSpec("e", "true", mode="shadow"),
        RuleSpec("f", "true", mode="off"),
        RuleSpec("g", "false"),
        RuleSpec("h", "true", mode="0%"),
        RuleSpec("i", "true", mode="100%"),
    )

    groups = (ruling.flags, ruling.watched, ruling.allowed, ruling.shadow)
    assert [[one.rule for one in group] for group in groups] == [["b", "a", "i"], ["c"], ["d"], ["e"]]
    assert judged(RuleSpec("a", "true", mode="off")) is None


def test_a_share_of_users_is_that_share_and_always_the_same_users() -> None:
    users = [f"user {number}" for number in range(2_000)]

    def those(name: str, mode: str) -> set[str]:
        evaluator = Evaluator([RuleSpec(name, "true", mode=mode)])
        payments = [msgspec.structs.replace(payment(), user_id=user) for user in users]
        return {one.user_id for one in payments if evaluator.judge(one, Window(), None, [])}

    assert 150 < len(those("a", "10%")) < 250
    assert those("a", "10%") < those("a", "25.5%")
    assert those("a", "10%") != those("b", "10%")
    assert min(those("a", "10%")) == "user 1002"


def test_a_suppressed_flag_is_watched_until_its_date() -> None:
    later = DATE + timedelta(seconds=1)

    def watched(*suppressions: Suppression) -> bool:
        ruling = judged(RuleSpec("a", "true"), suppressions=Suppressions(suppressions))
        return [one.rule for one in ruling.watched] == ["a"] and not ruling.flags

    assert watched(Suppression(later, user_id=USER))
    assert watched(Suppression(later, rule="a"))
    assert watched(Suppression(later, USER, "a"), Suppression(DATE, USER, "a"))
    assert not watched(Suppression(DATE, user_id=USER), Suppression(later, rule="b"))
    assert Suppressions([Suppression(later, user_id=USER)]).cover(payment())
    assert not Suppressions([Suppression(later, rule="a")]).cover(payment())


def test_a_rule_that_raises_does_not_fire_and_the_others_do() -> None:
    scores = 'score("odds") > 5'
    rules = [
        RuleSpec("a", scores),
        RuleSpec("b", f"amount > 5 || {scores}", "b's"),
        RuleSpec("c", "true", f"{{{scores}}}"),
    ]
    evaluator = Evaluator([*rules, RuleSpec("d", "true")], ["odds"])

    for score in (float("nan"), float("inf")):
        ruling = evaluator.judge(payment(), Window(), None, [score])
        assert ruling is not None
        assert [(one.rule, one.message) for one in ruling.flags] == [("b", "b"), ("c", "c"), ("d", "d")]
        assert [one.rule for one in ruling.failures] == ["a", "b", "c"]
    sound = evaluator.judge(payment(), Window(), None, [6.0])
    assert sound is not None
    assert [one.message for one in sound.flags] == ["a", "b's", "yes", "d"]
    assert not sound.failures


def test_a_list_changes_while_rules_run() -> None:
    evaluator = Evaluator([RuleSpec("a", 'in_list("blocked", merchant_id)')])
    transaction = payment(merchant_id="m1")

    assert evaluator.judge(transaction, Window(), None, []) is None
    evaluator.set_list("blocked", frozenset(["m1"]))
    assert evaluator.judge(transaction, Window(), None, []) is not None


def test_a_score_of_a_detector_that_does_not_run_is_missed_at_once() -> None:
    with pytest.raises(KeyError):
        Evaluator([RuleSpec("a", 'score("odds") > 5')], ["rolling_mean"])


def test_numbers_of_any_size_are_reckoned_with() -> None:
    [reason] = judged(
        RuleSpec("a", " * ".join(["amount"] * 200) + " > 1", "{" + " * ".join(["amount"] * 90) + "}")
    ).flags

    assert reason.message == "more than can be shown"


def test_features_are_read_only_by_a_rule_that_comes_to_ask_and_once() -> None:
    reads = []
    rules = [RuleSpec("a", 'amount > 50 && count("1h") > 5'), RuleSpec("b", 'amount > 50 && sum("1h") > 5')]

    def read(_: None, transaction: Transaction) -> list[int]:
        reads.append(transaction)
        return [6, 600]

    evaluator = Evaluator(rules).reading(read)

    assert evaluator.judge(payment(5000), Window(), None, []) is None
    assert reads == []
    evaluator._judge(payment(5001), Window(), None, [])  # noqa: SLF001 - without the explanations
    assert len(reads) == 1
