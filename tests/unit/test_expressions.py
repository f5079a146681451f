"""The language of rules: what is read, how it is written again, and what is said of what means nothing."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.rules.checking import checked, checked_condition
from schemas.rules.features import Feature
from schemas.rules.language import FIELDS, FUNCTIONS, METHODS
from schemas.rules.messages import pieces_of
from schemas.rules.parser import DEEPEST, parse
from schemas.rules.tokens import LONGEST, ExpressionError
from schemas.rules.tree import Node, text_of
from tests.support.expressions import conditions, placeless
from tests.support.source import ROOT

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(conditions())
def test_what_is_written_is_read_as_the_same_tree(tree: Node) -> None:
    text = text_of(tree)

    assert placeless(parse(text)) == tree
    assert text_of(parse(text)) == text


MARKS = [*"!()[]{},.?:<%=-'\"\\\né", "&&", "||", "=="]
WORDS = st.sampled_from(["amount", "country", "in", "5", "0.25", '"a"', 'count("1h")', *MARKS])


@QUICK
@given(st.one_of(st.text(max_size=40), st.lists(WORDS, max_size=12).map("".join)))
def test_no_text_raises_anything_but_what_is_wrong_and_where(text: str) -> None:
    for read in (checked, lambda message: [*pieces_of(message)]):
        wrong = None
        try:
            read(text)
        except ExpressionError as error:
            wrong = error
        assert wrong is None or (0 <= wrong.at <= len(text) and wrong.sentence)


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("", 0, "there is nothing: write a condition"),
        ("amount > ", 9, "the end stands where a value belongs"),
        ("amount = 5", 7, "equality is =="),
        ("amount > 5 and true", 11, "and is written &&"),
        ("amount > 5 amount", 11, "amount does not belong here"),
        ("1 < amount < 5", 11, "write a < b && b < c"),
        ("country == 'IN", 11, "has no closing '"),
        (r"status == '\x'", 11, r"\ stands before one of"),
        ("amount > 1e5", 9, "a number is digits alone"),
        ("amount > " + "1" * 41, 9, "at most 40 digits"),
        ('mercant_id == "x"', 0, "there is no field mercant_id; did you mean merchant_id"),
        ("coumt('1h') > 5", 0, "there is no function coumt; did you mean count"),
        ("country == null", 11, "has(country) asks whether it is there"),
        ("country > 5", 10, "country is a text, and 5 a number: they cannot be compared"),
        ("amount", 0, "this is a number: compare it with something"),
        ("txn_date == txn_date", 0, "txn_date is a time, which stands by itself nowhere"),
        ("!amount", 1, "amount is a number: ! stands with conditions alone"),
        ("count > 5", 0, 'count takes arguments: count("24h")'),
        ("count() > 5", 0, 'count() takes span: count("24h")'),
        ('count("1y") > 5', 6, "there is no span 1y: there is 5m, 10m"),
        ("count(status) > 5", 6, 'in quotes, please: count("24h")'),
        ('first_seen("amount")', 11, "first_seen() is of merchant_id, card_id, country, channel"),
        ('country in "IN"', 8, 'write country in ["IN", "LK"]'),
        ("amount in [5, ratio]", 14, "lists hold numbers and texts that are written out"),
        ("amount in [5, 'a']", 10, "either numbers or texts"),
        ("status.getHours() > 5", 7, "a text has no getHours(): there is startsWith"),
        ("status.shop == 'a'", 7, "status has no members: meta_data alone has"),
        ("has(true)", 4, "true is always there"),
        ("true ? 1 : 'a'", 11, "the values of a condition are of one kind"),
        ("true < false", 5, "of what is true or false neither is < the other"),
        ("(" * 33 + "true", 33, f"deeper than {DEEPEST} levels"),
        ("!" * 3000 + "true", 33, f"deeper than {DEEPEST} levels"),
        ("[" * 3000, 33, f"deeper than {DEEPEST} levels"),
        ("true ? false : " * 40 + "true", 487, f"deeper than {DEEPEST} levels"),
        ("a.b.c.d.e", 7, "nothing here has members that have members"),
        (" || ".join(["amount > 1"] * 260), 0, "costs 779, of 500"),
        ("a" * (LONGEST + 1), LONGEST, "longer than 4,000 characters"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_a_remedy(text: str, at: int, said: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        checked_condition(text)

    assert (refused.value.at, said in refused.value.sentence) == (at, True), refused.value.sentence


def test_what_an_expression_asks_for_is_known() -> None:
    text = 'count("1h") > 2 && distinct("country", "7d") > hours_since_last && (count("1h") > score("odds")'
    found = checked_condition(f'{text} || in_list("blocked", merchant_id))')

    hour, day = 3_600, 86_400
    assert found.features == {
        Feature("count", hour),
        Feature("distinct", 7 * day, "country"),
        Feature("hours_since_last"),
    }
    assert found.detectors == {"odds"}
    assert found.lists == {"blocked"}


def test_every_name_is_in_the_documents_table() -> None:
    page = (ROOT / "docs" / "rules.md").read_text()

    for name in [*FIELDS, *FUNCTIONS, *(method for _, method in METHODS)]:
        assert re.search(rf"^\| `[^|]*\b{name}\b", page, re.MULTILINE), name
