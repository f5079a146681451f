"""Exact arithmetic as code: fractions over a common denominator, in integers alone."""

import ast
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import lcm

from stream_app.scoring.rules.codes import (
    Code,
    NumberCode,
    alike,
    all_of,
    bound,
    chosen,
    constant,
    contained,
    joined,
    name,
    product,
    times,
)


class Arithmetic:
    """Combines numbers; `new` gives a name that is not yet used."""

    def __init__(self, new: Callable[[], str]) -> None:
        self._new = new

    def combined(self, one: NumberCode, operator: str, other: NumberCode) -> NumberCode:
        """What an operator makes of two numbers."""
        if operator == "/":
            return self._quotient(one, other)
        guards, signed = (*one.guards, *other.guards), one.signed or other.signed
        if operator == "*":
            value = ast.BinOp(one.value, ast.Mult(), other.value)
            below = one.below if other.below is None else times(other.below, one.below)
            money = one.money is not other.money
            return self._tidy(NumberCode(guards, value, one.scale * other.scale, below, signed, None, money))
        left, right, scale = alike(one, other)
        value = ast.BinOp(left, ast.Add() if operator == "+" else ast.Sub(), right)
        below = one.below if other.below is None else times(other.below, one.below)
        signed = signed or operator == "-"
        return self._tidy(NumberCode(guards, value, scale, below, signed, None, one.money or other.money))

    def _quotient(self, one: NumberCode, other: NumberCode) -> NumberCode:
        """Absent where the divisor is 0: its value, bound, is the guard. A sign goes above the line."""
        divisor = self._new()
        guards = (*one.guards, *other.guards, bound(divisor, product(other.value, one.scale)))
        value, below = times(product(one.value, other.scale), other.below), name(divisor)
        if other.signed:
            is_above = ast.Compare(below, [ast.Gt()], [constant(0)])
            value = ast.BinOp(value, ast.Mult(), chosen(is_above, constant(1), constant(-1)))
            below = chosen(is_above, below, ast.UnaryOp(ast.USub(), below))
        money = one.money and not other.money
        signed = one.signed or other.signed
        return self._tidy(NumberCode(guards, value, 1, times(below, one.below), signed, None, money))

    def _tidy(self, number: NumberCode) -> NumberCode:
        """The same with a name for what is below; that is above 0, so binding it is no guard."""
        if number.below is None or isinstance(number.below, ast.Name):
            return number
        below = self._new()
        guards = (*number.guards, bound(below, number.below))
        return NumberCode(guards, number.value, number.scale, name(below), number.signed, None, number.money)

    def negative(self, number: NumberCode) -> NumberCode:
        """The number below 0."""
        minus = ast.UnaryOp(ast.USub(), number.value)
        return NumberCode(number.guards, minus, number.scale, number.below, signed=True, money=number.money)

    def one_of(self, its: str, guards: tuple[Code, ...], yes: NumberCode, no: NumberCode) -> NumberCode:
        """One or the other, by a condition that has this name."""
        scale = lcm(yes.scale, no.scale)
        values = [product(one.value, scale // one.scale) for one in (yes, no)]
        below = None
        if yes.below is not None or no.below is not None:
            below = chosen(name(its), *(constant(1) if one.below is None else one.below for one in (yes, no)))
        signed, money = yes.signed or no.signed, yes.money or no.money
        return self._tidy(NumberCode(guards, chosen(name(its), *values), scale, below, signed, None, money))

    def within(self, left: NumberCode, numbers: Sequence[Fraction]) -> Code:
        """That it is one of these."""
        scale = lcm(left.scale, *(one.denominator for one in numbers))
        value = product(left.value, scale // left.scale)
        if left.below is None:
            integers = frozenset(int(one * scale) for one in numbers)
            return all_of(*left.guards, contained(value, constant(integers)))
        its = self._new()
        alternatives = [
            ast.Compare(name(its), [ast.Eq()], [times(constant(int(one * scale)), left.below)])
            for one in numbers
        ]
        bind = ast.BoolOp(ast.Or(), [bound(its, value), constant(1)])
        return all_of(*left.guards, bind, joined(ast.Or(), alternatives))
