"""Parts of a Python expression that is made of a rule, each with what it depends on.

What may be absent has `guards`: conditions that are to be asked, in their order, before its value, and hold
where it is there. They also bind what the value needs, so that nothing is computed twice.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

Code = ast.expr
Guards = tuple[Code, ...]
TRUE, FALSE = ast.Constant(value=True), ast.Constant(value=False)


@dataclass(frozen=True, slots=True)
class NumberCode:
    """An exact number: `value / (scale * below)`, whose parts are code for integers.

    `value` may be used once, after the guards; `below`, where it is there, is a bound name above 0.
    """

    guards: Guards
    value: Code
    scale: int = 1
    below: Code | None = None
    signed: bool = False
    """Whether it may be below 0."""
    constant: Fraction | None = None
    money: bool = False


@dataclass(frozen=True, slots=True)
class TextCode:
    """A text."""

    guards: Guards
    value: Code
    none: bool = False
    """Whether the value is None, and no error, where it is absent."""


def name(identifier: str) -> Code:
    """A name that is read."""
    return ast.Name(identifier, ast.Load())


def bound(identifier: str, code: Code) -> Code:
    """A value that is given a name on the way."""
    return ast.NamedExpr(ast.Name(identifier, ast.Store()), code)


def constant(value: object) -> Code:
    """A value that is written out."""
    return ast.Constant(value)  # type: ignore[arg-type]  # frozensets are constants, too


def attribute(of: Code, *names: str) -> Code:
    """An attribute of an attribute."""
    for one in names:
        of = ast.Attribute(of, one, ast.Load())
    return of


def called(function: Code, *arguments: Code) -> Code:
    """A call."""
    return ast.Call(function, list(arguments), [])


def item(of: Code, key: object) -> Code:
    """One of several."""
    return ast.Subscript(of, constant(key), ast.Load())


def is_there(code: Code) -> Code:
    """That it is not None."""
    return ast.Compare(code, [ast.IsNot()], [constant(None)])


def negated(code: Code) -> Code:
    """That it is not true."""
    return ast.UnaryOp(ast.Not(), code)


def chosen(condition: Code, yes: Code, no: Code) -> Code:
    """One of two values."""
    return ast.IfExp(condition, yes, no)


def joined(operator: ast.boolop, codes: Sequence[Code]) -> Code:
    """Conditions with `and` or `or` between."""
    return codes[0] if len(codes) == 1 else ast.BoolOp(operator, list(codes))


def all_of(*codes: Code) -> Code:
    """That all hold."""
    return joined(ast.And(), codes) if codes else TRUE


def product(code: Code, factor: int) -> Code:
    """Times an integer."""
    if factor == 1:
        return code
    if isinstance(code, ast.Constant) and isinstance(code.value, int):
        return constant(code.value * factor)
    return ast.BinOp(code, ast.Mult(), constant(factor))


def times(code: Code, below: Code | None) -> Code:
    """Times the denominator of another."""
    return code if below is None else ast.BinOp(code, ast.Mult(), below)


def number_of(value: Fraction) -> NumberCode:
    """A number that is written out."""
    return NumberCode((), constant(value.numerator), value.denominator, None, value < 0, value)


def alike(one: NumberCode, other: NumberCode) -> tuple[Code, Code, int]:
    """Both values over one denominator, and the scale in it; the rest of it is both's `below`."""
    common = gcd(one.scale, other.scale)
    left = times(product(one.value, other.scale // common), other.below)
    right = times(product(other.value, one.scale // common), one.below)
    return left, right, one.scale // common * other.scale


def contained(value: Code, within: Code) -> Code:
    """That one is in the other."""
    return ast.Compare(value, [ast.In()], [within])
