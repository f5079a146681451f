"""An expression as a tree, and as text again."""

from collections.abc import Iterator
from fractions import Fraction

import msgspec

CHAINS = (("||",), ("&&",), ("+", "-"), ("*", "/"))
"""Operators that stand between any number of operands, loosest first; comparisons bind between && and +."""
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in")
_CONDITIONAL, _COMPARISON, _UNARY, _POSTFIX = 0, 3, 6, 7
_PLACES = {operator: level for level, names in zip((1, 2, 4, 5), CHAINS, strict=True) for operator in names}

_ESCAPES = {code: f"\\u{code:04x}" for code in (*range(32), 127)}
_ESCAPES |= {ord(one): f"\\{named}" for one, named in zip('"\\\n\r\t', '"\\nrt', strict=True)}


class Node(msgspec.Struct, frozen=True):
    """A part of an expression; `at` is the character at which it is named in messages."""

    at: int


class Literal(Node, frozen=True):
    """`true`, `12.50` or `"IN"`."""

    value: bool | Fraction | str


class Name(Node, frozen=True):
    """A field, or a function without arguments."""

    name: str


class Member(Node, frozen=True):
    """`of.name`, or `of["name"]`."""

    of: Node
    name: str


class Call(Node, frozen=True):
    """`function(arguments)`, or `of.function(arguments)`."""

    function: str
    arguments: tuple[Node, ...]
    of: Node | None = None


class Listing(Node, frozen=True):
    """`[items]`."""

    items: tuple[Node, ...]


class Unary(Node, frozen=True):
    """`!operand` or `-operand`."""

    operator: str
    operand: Node


class Chain(Node, frozen=True):
    """Operands from left to right, with operators of one rank between them."""

    operands: tuple[Node, ...]
    operators: tuple[str, ...]


class Comparison(Node, frozen=True):
    """`left operator right`."""

    left: Node
    operator: str
    right: Node


class Conditional(Node, frozen=True):
    """`condition ? yes : no`."""

    condition: Node
    yes: Node
    no: Node


def parts_of(node: Node) -> Iterator[Node]:
    """The node and all that it is made of."""
    yield node
    for field in node.__struct_fields__:
        value = getattr(node, field)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Node):
                yield from parts_of(one)


def text_of(node: Node, within: int = _CONDITIONAL) -> str:
    """The expression as text, with the parentheses that it needs within operators of this rank.

    >>> amount, five = Name(0, "amount"), Literal(0, Fraction(5))
    >>> text_of(Unary(0, "!", Comparison(0, Chain(0, (amount, five), ("-",)), ">", five)))
    '!(amount - 5 > 5)'
    """
    text, rank = _text_and_rank(node)
    return f"({text})" if rank < within else text


def _text_and_rank(node: Node) -> tuple[str, int]:
    match node:
        case Conditional():
            condition = text_of(node.condition, _CONDITIONAL + 1)
            no, yes = text_of(node.no), text_of(node.yes, _CONDITIONAL + 1)
            return f"{condition} ? {yes} : {no}", _CONDITIONAL
        case Chain():
            rank = _PLACES[node.operators[0]]
            first, *others = [text_of(operand, rank + 1) for operand in node.operands]
            pairs = zip(node.operators, others, strict=True)
            return " ".join([first, *(f"{operator} {other}" for operator, other in pairs)]), rank
        case Comparison():
            left, right = text_of(node.left, _COMPARISON + 1), text_of(node.right, _COMPARISON + 1)
            return f"{left} {node.operator} {right}", _COMPARISON
        case Unary():
            return node.operator + text_of(node.operand, _UNARY), _UNARY
    return _simple(node), _POSTFIX


def _simple(node: Node) -> str:
    match node:
        case Literal():
            return _literal(node.value)
        case Name():
            return node.name
        case Member():
            return f"{text_of(node.of, _POSTFIX)}[{quoted(node.name)}]"
        case Listing():
            return f"[{_several(node.items)}]"
        case Call():
            of = "" if node.of is None else text_of(node.of, _POSTFIX) + "."
            return f"{of}{node.function}({_several(node.arguments)})"
    raise TypeError(node)


def _several(nodes: tuple[Node, ...]) -> str:
    return ", ".join(map(text_of, nodes))


def _literal(value: bool | Fraction | str) -> str:  # noqa: FBT001 - one of the three
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else decimal_text(value)


def quoted(text: str) -> str:
    r"""A text as it stands in an expression.

    >>> print(quoted('a "b"\n'))
    "a \"b\"\n"
    """
    return f'"{text.translate(_ESCAPES)}"'


def decimal_text(value: Fraction) -> str:
    """A number whose denominator has no primes but 2 and 5, in digits.

    >>> decimal_text(Fraction("99.995")), decimal_text(Fraction(20))
    ('99.995', '20')
    """
    decimals = 0
    while (value * 10**decimals).denominator > 1:
        decimals += 1
    digits = str(value.numerator * 10**decimals // value.denominator).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
