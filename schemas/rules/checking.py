"""Whether an expression means something: its names, kinds, arguments and cost."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fractions import Fraction

import msgspec

from schemas.rules.features import FIELDS as COUNTED
from schemas.rules.features import Feature
from schemas.rules.language import (
    FIELDS,
    FUNCTIONS,
    METHODS,
    MOST_COST,
    NAME,
    SPANS,
    Argument,
    Kind,
    Meaning,
)
from schemas.rules.parser import parse
from schemas.rules.tokens import ExpressionError
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
    text_of,
)

_SHOWN_NAMES = 8
_IN: Mapping[Kind, Kind] = {"number": "list of numbers", "text": "list of texts"}


class Checked(msgspec.Struct, frozen=True):
    """An expression that means something."""

    tree: Node
    kind: Kind
    cost: int
    features: frozenset[Feature] = frozenset()
    detectors: frozenset[str] = frozenset()
    """Whose scores it asks for."""
    lists: frozenset[str] = frozenset()


def checked(expression: str) -> Checked:
    """An expression, taken apart.

    Raises:
        ExpressionError: It means nothing, or costs too much.
    """
    tree = parse(expression)
    check = _Check()
    kind = check.kind_of(tree)
    if kind not in {"yes or no", "number", "text"}:
        raise ExpressionError(tree.at, f"{text_of(tree)} is a {kind}, of which nothing is asked")
    if check.cost > MOST_COST:
        raise ExpressionError(0, f"costs {check.cost}, of {MOST_COST} at the most: make several rules of it")
    named = (frozenset(check.features), frozenset(check.detectors), frozenset(check.lists))
    return Checked(tree, kind, check.cost, *named)


def checked_condition(expression: str) -> Checked:
    """An expression that is true or false.

    Raises:
        ExpressionError: It is not.
    """
    found = checked(expression)
    if found.kind != "yes or no":
        raise ExpressionError(found.tree.at, f"this is a {found.kind}: compare it with something")
    return found


def feature_of(node: Node) -> Feature | None:
    """The feature that a name or call of a checked expression stands for."""
    match node:
        case Name() if FIELDS[node.name].is_feature:
            return Feature(node.name)
        case Call(of=None) if FUNCTIONS[node.function].is_feature:
            texts = [one.value for one in node.arguments if isinstance(one, Literal)]
            given = dict(zip(FUNCTIONS[node.function].arguments, texts, strict=True))
            return Feature(node.function, SPANS.get(str(given.get("span")), 0), str(given.get("of", "")))
    return None


class _Check:
    """Adds up what parts of an expression are and cost."""

    def __init__(self) -> None:
        self.cost = 0
        self.features: set[Feature] = set()
        self.detectors: set[str] = set()
        self.lists: set[str] = set()

    def kind_of(self, node: Node) -> Kind:
        """What it is."""
        match node:
            case Literal():
                return _kind_of_literal(node)
            case Name():
                return self._use(_named(node), node)
            case Member():
                return self._member(node)
            case Call():
                return self._call(node)
            case Listing():
                return self._listing(node)
        self.cost += 1
        return self._operation(node)

    def _operation(self, node: Node) -> Kind:
        match node:
            case Unary():
                return self._all((node.operand,), "yes or no" if node.operator == "!" else "number", node)
            case Chain():
                self.cost += len(node.operators) - 1
                logical = node.operators[0] in {"&&", "||"}
                return self._all(node.operands, "yes or no" if logical else "number", node)
            case Comparison():
                return self._comparison(node)
            case Conditional():
                self._expect(node.condition, "yes or no", "what stands before ? is true or false")
                return self._same(node.yes, node.no, "the values of a condition are of one kind")
        raise TypeError(node)

    def _use(self, meaning: Meaning, node: Node) -> Kind:
        self.cost += meaning.cost
        if meaning.is_feature and (feature := feature_of(node)):
            self.features.add(feature)
        return meaning.kind

    def _all(self, nodes: Sequence[Node], kind: Kind, of: Node) -> Kind:
        operators = of.operators if isinstance(of, Chain) else (of.operator,) if isinstance(of, Unary) else ()
        for node in nodes:
            self._expect(node, kind, f"{operators[0]} stands with {_plural(kind)} alone")
        return kind

    def _expect(self, node: Node, kind: Kind, why: str) -> None:
        found = self.kind_of(node)
        if found != kind:
            raise ExpressionError(node.at, f"{text_of(node)} is a {found}: {why}")

    def _same(self, one: Node, other: Node, why: str) -> Kind:
        kind, others = self.kind_of(one), self.kind_of(other)
        if kind != others:
            raise ExpressionError(
                other.at, f"{text_of(one)} is a {kind}, and {text_of(other)} a {others}: {why}"
            )
        if kind not in {"yes or no", "number", "text"}:
            raise ExpressionError(one.at, f"{text_of(one)} is a {kind}, which stands by itself nowhere")
        return kind

    def _comparison(self, node: Comparison) -> Kind:
        if node.operator == "in":
            kind, kinds = self.kind_of(node.left), self.kind_of(node.right)
            if _IN.get(kind) != kinds:
                raise ExpressionError(
                    node.at, f'in asks for a {kind} in a {kinds}: write country in ["IN", "LK"], or in_list()'
                )
            return "yes or no"
        kind = self._same(node.left, node.right, "they cannot be compared")
        if kind == "yes or no" and node.operator not in {"==", "!="}:
            raise ExpressionError(node.at, f"of what is true or false neither is {node.operator} the other")
        return "yes or no"

    def _member(self, node: Member) -> Kind:
        if not isinstance(node.of, Name) or self.kind_of(node.of) != "map":
            raise ExpressionError(node.at, f"{text_of(node.of)} has no members: meta_data alone has")
        return "text"

    def _listing(self, node: Listing) -> Kind:
        for item in node.items:
            if not (isinstance(item, Literal) or is_negative_number(item)):
                raise ExpressionError(item.at, "lists hold numbers and texts that are written out")
        kinds = {self.kind_of(item) for item in node.items}
        if kinds not in ({"number"}, {"text"}):
            raise ExpressionError(node.at, "a list holds one or more values, either numbers or texts")
        return _IN[kinds.pop()]

    def _call(self, node: Call) -> Kind:
        meaning = self._function(node)
        if len(node.arguments) != len(meaning.arguments):
            needs = ", ".join(meaning.arguments) or "nothing"
            raise ExpressionError(node.at, f"{node.function}() takes {needs}: {example_of(node.function)}")
        for argument, given in zip(meaning.arguments, node.arguments, strict=True):
            self._argument(argument, given, node.function)
        return self._use(meaning, node)

    def _function(self, node: Call) -> Meaning:
        if node.of is None:
            if (found := FUNCTIONS.get(node.function)) is None:
                raise ExpressionError(node.at, f"there is no function {node.function}{_like(node.function)}")
            return found
        kind = self.kind_of(node.of)
        if (found := METHODS.get((kind, node.function))) is None:
            names = [name for of, name in METHODS if of == kind]
            there = f"there is {', '.join(names)}" if names else "nothing is asked of one"
            raise ExpressionError(node.at, f"a {kind} has no {node.function}(): {there}")
        return found

    def _argument(self, argument: Argument, node: Node, function: str) -> None:
        if argument == "anything":
            if self.kind_of(node) in {"yes or no", "list of numbers", "list of texts", "map"}:
                raise ExpressionError(
                    node.at, f"{text_of(node)} is always there: has() asks for fields and features"
                )
        elif argument == "text":
            self._expect(node, "text", f"{function}() takes a text")
        else:
            self._written_out(argument, node, function)

    def _written_out(self, argument: Argument, node: Node, function: str) -> None:
        text = node.value if isinstance(node, Literal) else None
        if not isinstance(text, str):
            raise ExpressionError(node.at, f"in quotes, please: {example_of(function)}")
        if argument == "span" and text not in SPANS:
            raise ExpressionError(node.at, f"there is no span {text}: there is {', '.join(SPANS)}")
        if argument == "of" and text not in COUNTED:
            raise ExpressionError(node.at, f"{function}() is of {', '.join(COUNTED)}, and not of {text}")
        if argument in {"list", "detector"}:
            if not NAME.fullmatch(text):
                raise ExpressionError(node.at, f"a {argument}'s name has 1 to 64 characters")
            (self.lists if argument == "list" else self.detectors).add(text)


def _kind_of_literal(node: Literal) -> Kind:
    kinds: Mapping[type, Kind] = {bool: "yes or no", Fraction: "number", str: "text"}
    return kinds[type(node.value)]


def is_negative_number(node: Node) -> bool:
    """Whether it is a number with a minus before it."""
    return (
        isinstance(node, Unary)
        and node.operator == "-"
        and isinstance(node.operand, Literal)
        and isinstance(node.operand.value, Fraction)
    )


def _named(node: Name) -> Meaning:
    if node.name in FUNCTIONS:
        raise ExpressionError(node.at, f"{node.name} takes arguments: {example_of(node.name)}")
    if (found := FIELDS.get(node.name)) is None:
        raise ExpressionError(node.at, f"there is no field {node.name}{_like(node.name)}")
    return found


def _like(name: str) -> str:
    if name == "null":
        return ": what is absent fails each comparison, and has(country) asks whether it is there"
    known = [*FIELDS, *FUNCTIONS]
    if close := get_close_matches(name.lower(), known, n=1):
        return f"; did you mean {close[0]}"
    return f": there is {', '.join(known[:_SHOWN_NAMES])} and others (docs/rules.md)"


def _plural(kind: Kind) -> str:
    return "conditions" if kind == "yes or no" else f"{kind}s"


_EXAMPLES: Mapping[Argument, str] = {
    "span": '"24h"',
    "of": '"merchant_id"',
    "detector": '"odds"',
    "list": '"blocked"',
    "text": "merchant_id",
    "anything": "country",
}


def example_of(function: str) -> str:
    """How a function or method is called.

    >>> example_of("distinct"), example_of("startsWith")
    ('distinct("merchant_id", "24h")', 'status.startsWith(merchant_id)')
    """
    if meaning := FUNCTIONS.get(function):
        return f"{function}({', '.join(_EXAMPLES[one] for one in meaning.arguments)})"
    of, meaning = next((of, found) for (of, name), found in METHODS.items() if name == function)
    target = "status" if of == "text" else "txn_date"
    return f"{target}.{function}({', '.join(_EXAMPLES[one] for one in meaning.arguments)})"
