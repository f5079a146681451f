"""Expressions that mean something, made by Hypothesis, as trees whose places are all 0."""

from fractions import Fraction
from typing import Any

import msgspec
from hypothesis import strategies as st

from schemas.rules.features import FIELDS
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
)

SPANS_USED = ("1h", "24h", "30d")
_DECIMALS = st.tuples(st.integers(0, 3000), st.sampled_from([1, 2, 100, 1000]))
_NUMBERS = st.builds(lambda parts: Literal(0, Fraction(*parts)), _DECIMALS)
_TEXTS = st.builds(Literal, st.just(0), st.sampled_from(["", "m1", "IN", "paid", "1", "a\"\\\n'ü\u2028😀"]))
_SPAN = st.builds(Literal, st.just(0), st.sampled_from(SPANS_USED))
_OF = st.builds(Literal, st.just(0), st.sampled_from(FIELDS))


def written(value: str) -> Node:
    """A text that is written out."""
    return Literal(0, value)


def call(function: str, *arguments: Any, of: Node | None = None) -> st.SearchStrategy[Node]:
    """Calls with arguments of these strategies."""
    return st.builds(lambda *given: Call(0, function, given, of), *arguments)


def method(function: str, of: st.SearchStrategy[Node], *arguments: Any) -> st.SearchStrategy[Node]:
    """Calls of a method."""
    return st.builds(lambda target, *given: Call(0, function, given, target), of, *arguments)


def names(*those: str) -> st.SearchStrategy[Node]:
    """These names."""
    return st.builds(Name, st.just(0), st.sampled_from(those))


def of_past() -> st.SearchStrategy[Node]:
    """Numbers about what was before."""
    spans = st.one_of([call(function, _SPAN) for function in ("count", "sum", "mean", "max")])
    score = st.just(Call(0, "score", (written("odds"),)))
    return st.one_of(spans, call("distinct", _OF, _SPAN), score, names("ratio", "hours_since_last"))


def numbers(depth: int) -> st.SearchStrategy[Node]:
    """Numbers."""
    asked = [method(name, st.just(Name(0, "txn_date"))) for name in ("getHours", "getMinutes", "getDate")]
    leaves = st.one_of(_NUMBERS, names("amount"), of_past(), *asked, method("size", _TEXTS))
    if not depth:
        return leaves
    inner = st.deferred(lambda: numbers(depth - 1))
    minus = st.builds(Unary, st.just(0), st.just("-"), inner)
    return st.one_of(leaves, chains(inner, "+-"), chains(inner, "*/"), minus, conditionals(inner, depth))


def texts(depth: int) -> st.SearchStrategy[Node]:
    """Texts."""
    fields = names("currency", "status", "merchant_id", "card_id", "country", "channel", "user_id")
    member = st.builds(Member, st.just(0), st.just(Name(0, "meta_data")), st.sampled_from(["shop", "n", '"']))
    leaves = st.one_of(_TEXTS, fields, member)
    return st.one_of(leaves, conditionals(leaves, depth)) if depth else leaves


def chains(inner: st.SearchStrategy[Node], operators: Any) -> st.SearchStrategy[Node]:
    """Two or three of these with operators between."""

    def chain(operands: list[Node], operators: list[str]) -> Node:
        flat = operands[: len(operators) + 1]
        return Chain(0, (*flat,), (*operators[: len(flat) - 1],))

    between = st.lists(st.sampled_from(operators), min_size=1, max_size=2)
    return st.builds(chain, st.lists(inner, min_size=2, max_size=3), between)


def conditionals(inner: st.SearchStrategy[Node], depth: int) -> st.SearchStrategy[Node]:
    """One of two by a condition."""
    return st.builds(Conditional, st.just(0), conditions(depth - 1), inner, inner)


def comparisons(depth: int) -> st.SearchStrategy[Node]:
    """Comparisons of numbers and of texts, also with lists."""
    operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    minus = st.builds(Unary, st.just(0), st.just("-"), _NUMBERS)
    found = []
    for kind, items in ((numbers(depth), st.one_of(_NUMBERS, minus)), (texts(depth), _TEXTS)):
        found.append(st.builds(Comparison, st.just(0), kind, operators, kind))
        listing = st.builds(lambda those: Listing(0, (*those,)), st.lists(items, min_size=1, max_size=3))
        found.append(st.builds(Comparison, st.just(0), kind, st.just("in"), listing))
    return st.one_of(found)


def conditions(depth: int = 2) -> st.SearchStrategy[Node]:
    """Whatever is true or false."""
    below = max(0, depth - 1)
    text = texts(below)
    leaves = st.one_of(
        comparisons(below),
        call("first_seen", _OF),
        call("in_list", st.just(written("blocked")), text),
        call("has", st.one_of(numbers(below), text)),
        *(method(name, text, text) for name in ("startsWith", "endsWith", "contains")),
        st.builds(Literal, st.just(0), st.booleans()),
    )
    if depth <= 0:
        return leaves
    inner = st.deferred(lambda: conditions(depth - 1))
    equal = st.builds(Comparison, st.just(0), inner, st.sampled_from(["==", "!="]), inner)
    both = st.one_of(chains(inner, ["&&"]), chains(inner, ["||"]))
    negated = st.builds(Unary, st.just(0), st.just("!"), inner)
    return st.one_of(leaves, both, negated, equal, conditionals(inner, depth))


def placeless(node: Any) -> Any:
    """The same tree with all places 0."""
    if isinstance(node, tuple):
        return tuple(map(placeless, node))
    if not isinstance(node, Node):
        return node
    fields = {name: placeless(getattr(node, name)) for name in node.__struct_fields__}
    return msgspec.structs.replace(node, **{**fields, "at": 0})
