"""Turns parts of a checked expression into parts of a Python expression."""

import ast
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import count

from schemas.rules.checking import feature_of
from schemas.rules.features import Feature
from schemas.rules.language import FIELDS, FUNCTIONS, METHODS
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
from stream_app.scoring.rules.arithmetic import Arithmetic
from stream_app.scoring.rules.codes import (
    Code,
    NumberCode,
    TextCode,
    alike,
    all_of,
    attribute,
    bound,
    called,
    chosen,
    constant,
    contained,
    is_there,
    item,
    joined,
    name,
    negated,
    number_of,
)

_OPERATORS: Mapping[str, type[ast.cmpop]] = {
    "==": ast.Eq,
    "!=": ast.NotEq,
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
}
_TIMES: Mapping[str, Callable[[Code], Code]] = {
    "getHours": lambda date: attribute(date, "hour"),
    "getMinutes": lambda date: attribute(date, "minute"),
    "getDate": lambda date: attribute(date, "day"),
    "getDayOfWeek": lambda date: ast.BinOp(called(attribute(date, "isoweekday")), ast.Mod(), constant(7)),
}
_METHODS = {"startsWith": "startswith", "endsWith": "endswith"}
AnyCode = NumberCode | TextCode | Code


class Translation:
    """Of expressions that ask for these features, and for scores of detectors in this order.

    The code names a `transaction` and its fields, `window`, `state`, `scores` and `features`, which is None
    until `read` gives them; and `lists` by name.
    """

    def __init__(self, features: Sequence[Feature], detectors: Sequence[str]) -> None:
        self._features = {feature: position for position, feature in enumerate(features)}
        self._detectors = {one: position for position, one in enumerate(detectors)}
        self._numbers = count()
        self._arithmetic = Arithmetic(self._new)

    def _new(self) -> str:
        return f"t{next(self._numbers)}"

    def condition(self, node: Node) -> Code:
        """Code that is true or false, as Python takes values for that."""
        code = self.code(node)
        assert isinstance(code, ast.expr)  # noqa: S101 - it was checked
        return code

    def code(self, node: Node) -> AnyCode:
        """Code for any part of a checked expression."""
        match node:
            case Literal():
                return _literal(node.value)
            case Name():
                return self._name(node)
            case Member():
                return self._member(node)
            case Call():
                return self._call(node)
        return self._operation(node)

    def _operation(self, node: Node) -> AnyCode:
        match node:
            case Conditional():
                return self._conditional(node)
            case Comparison():
                return self._comparison(node)
            case Chain():
                return self._chain(node)
            case Unary(operator="!"):
                return negated(self.condition(node.operand))
            case Unary():
                return self._arithmetic.negative(self._number(node.operand))
        raise TypeError(node)

    def _number(self, node: Node) -> NumberCode:
        code = self.code(node)
        assert isinstance(code, NumberCode)  # noqa: S101 - it was checked
        return code

    def _text(self, node: Node) -> TextCode:
        code = self.code(node)
        assert isinstance(code, TextCode)  # noqa: S101 - it was checked
        return code

    def _comparison(self, node: Comparison) -> Code:
        left = self.code(node.left)
        if isinstance(node.right, Listing):
            return self._within(left, node.right)
        right = self.code(node.right)
        operator = _OPERATORS[node.operator]()
        if isinstance(left, NumberCode) and isinstance(right, NumberCode):
            one, other, _ = alike(left, right)
            return all_of(*left.guards, *right.guards, ast.Compare(one, [operator], [other]))
        if isinstance(left, TextCode) and isinstance(right, TextCode):
            constants = isinstance(right.value, ast.Constant) and node.operator == "=="
            guards = () if constants and left.none else (*left.guards, *right.guards)
            return all_of(*guards, ast.Compare(left.value, [operator], [right.value]))
        one, other = (negated(negated(self.condition(side))) for side in (node.left, node.right))
        return ast.Compare(one, [operator], [other])

    def _within(self, left: AnyCode, listing: Listing) -> Code:
        if isinstance(left, TextCode):
            texts = frozenset(one.value for one in listing.items if isinstance(one, Literal))
            return all_of(*(() if left.none else left.guards), contained(left.value, constant(texts)))
        assert isinstance(left, NumberCode)  # noqa: S101 - it was checked
        return self._arithmetic.within(left, [_written(one) for one in listing.items])

    def _chain(self, node: Chain) -> AnyCode:
        if node.operators[0] in {"&&", "||"}:
            operator = ast.And() if node.operators[0] == "&&" else ast.Or()
            return joined(operator, [self.condition(one) for one in node.operands])
        number = self._number(node.operands[0])
        for operator_, operand in zip(node.operators, node.operands[1:], strict=True):
            number = self._arithmetic.combined(number, operator_, self._number(operand))
        return number

    # --- numbers

    def _conditional(self, node: Conditional) -> AnyCode:
        condition, yes, no = self.condition(node.condition), self.code(node.yes), self.code(node.no)
        if isinstance(yes, ast.expr) and isinstance(no, ast.expr):
            return chosen(condition, yes, no)
        assert not isinstance(yes, ast.expr)  # noqa: S101 - both are of one kind
        assert not isinstance(no, ast.expr)  # noqa: S101 - both are of one kind
        its = self._new()
        first = ast.BoolOp(ast.Or(), [bound(its, condition), constant(1)])
        guards = (first, chosen(name(its), all_of(*yes.guards), all_of(*no.guards)))
        if isinstance(yes, TextCode) or isinstance(no, TextCode):
            return TextCode(guards, chosen(name(its), yes.value, no.value))
        return self._arithmetic.one_of(its, guards, yes, no)

    # --- what is looked up

    def _name(self, node: Name) -> AnyCode:
        meaning = FIELDS[node.name]
        if feature := feature_of(node):
            return self._feature(feature, money=meaning.is_money, absent=meaning.may_be_absent)
        if node.name == "amount":
            return NumberCode((), name("amount"), 100, money=True)
        if node.name == "ratio":
            total = self._new()
            amount = ast.BinOp(name("amount"), ast.Mult(), attribute(name("window"), "count"))
            return NumberCode((bound(total, attribute(name("window"), "total")),), amount, 1, name(total))
        guards = (is_there(name(node.name)),) if meaning.may_be_absent else ()
        return TextCode(guards, name(node.name), none=meaning.may_be_absent)

    def _member(self, node: Member) -> TextCode:
        its = self._new()
        found = called(attribute(name("meta_data"), "get"), constant(node.name))
        is_text = called(name("isinstance"), bound(its, found), name("str"))
        return TextCode((name("meta_data"), is_text), name(its))

    def _feature(self, feature: Feature, *, money: bool, absent: bool) -> AnyCode:
        values = ast.BoolOp(
            ast.Or(),
            [name("features"), bound("features", called(name("read"), name("state"), name("transaction")))],
        )
        value, scale = item(values, self._features[feature]), 100 if money else 1
        if feature.function == "first_seen":
            return value
        if not absent:
            return NumberCode((), value, scale, money=money)
        its = self._new()
        guard = is_there(bound(its, value))
        if feature.function != "mean":
            return NumberCode((guard,), name(its), scale, money=money)
        below = self._new()
        bind = bound(below, attribute(name(its), "denominator"))
        return NumberCode((guard, bind), attribute(name(its), "numerator"), scale, name(below), money=money)

    def _call(self, node: Call) -> AnyCode:
        if node.of is not None:
            return self._method(node, node.of)
        if feature := feature_of(node):
            meaning = FUNCTIONS[node.function]
            return self._feature(feature, money=meaning.is_money, absent=meaning.may_be_absent)
        if node.function == "has":
            code = self.code(node.arguments[0])
            assert not isinstance(code, ast.expr)  # noqa: S101 - it was checked
            return all_of(*code.guards)
        of = node.arguments[0]
        assert isinstance(of, Literal)  # noqa: S101 - it was checked
        if node.function == "score":
            return self._score(str(of.value))
        text = self._text(node.arguments[1])
        return all_of(*text.guards, contained(text.value, item(name("lists"), of.value)))

    def _score(self, detector: str) -> NumberCode:
        """A float is a fraction, too: nothing is lost. One that is no finite number raises."""
        its, pair, below = self._new(), self._new(), self._new()
        guards = (
            is_there(bound(its, item(name("scores"), self._detectors[detector]))),
            bound(pair, called(attribute(name(its), "as_integer_ratio"))),
            bound(below, item(name(pair), 1)),
        )
        return NumberCode(guards, item(name(pair), 0), 1, name(below), signed=True)

    def _method(self, node: Call, of: Node) -> AnyCode:
        if ("time", node.function) in METHODS:
            return NumberCode((), _TIMES[node.function](name("txn_date")))
        text = self._text(of)
        if node.function == "size":
            return NumberCode(text.guards, called(name("len"), text.value))
        other = self._text(node.arguments[0])
        if node.function == "contains":
            holds = contained(other.value, text.value)
        else:
            holds = called(attribute(text.value, _METHODS[node.function]), other.value)
        return all_of(*text.guards, *other.guards, holds)


def _literal(value: bool | Fraction | str) -> AnyCode:  # noqa: FBT001 - one of the three
    if isinstance(value, bool):
        return constant(value)
    return TextCode((), constant(value)) if isinstance(value, str) else number_of(value)


def _written(node: Node) -> Fraction:
    """The number that is written out in a list."""
    if isinstance(node, Unary):
        return -_written(node.operand)
    assert isinstance(node, Literal)  # noqa: S101 - it was checked
    assert isinstance(node.value, Fraction)  # noqa: S101 - it was checked
    return node.value
