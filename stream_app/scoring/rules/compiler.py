"""Makes one Python function of all rules of a set, by way of Python's own syntax tree.

It is given a transaction, its user's window and state, and the scores, and returns which rules fire, as bits.
Features are read once, and only if a rule comes to ask for one.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from schemas.rules.tree import Node
from stream_app.scoring.rules.codes import (
    Code,
    NumberCode,
    TextCode,
    all_of,
    attribute,
    called,
    chosen,
    constant,
    name,
    negated,
    times,
)
from stream_app.scoring.rules.translation import AnyCode, Translation

_ARGUMENTS = ("transaction", "window", "state", "scores")


class Compiler:
    """Compiles; the namespace is that of what is made: it has `read` for features and `lists` by name."""

    def __init__(self, translation: Translation, namespace: dict[str, Any]) -> None:
        self._translation, self._namespace = translation, namespace

    def judge(self, conditions: Iterable[tuple[int, Node]], *, guarded: bool = False) -> Callable[..., int]:
        """A function of a transaction, window, state and scores: the bits of the conditions that hold.

        A guarded one also takes what is called with the bit and the error of a condition that raises.
        """
        body: list[ast.stmt] = [_assign("fired", constant(0))]
        for bit, node in conditions:
            fires = ast.AugAssign(ast.Name("fired", ast.Store()), ast.BitOr(), constant(1 << bit))
            rule: ast.stmt = ast.If(self._translation.condition(node), [fires], [])
            body.append(_caught(rule, bit) if guarded else rule)
        return self._function(body, name("fired"), ["failed"] if guarded else [])

    def values(self, expressions: Sequence[Node]) -> Callable[..., Sequence[Any]]:
        """A function of the same: each expression's value, None where it is absent.

        A number is its two integers, and whether it is money.
        """
        codes = [_value(self._translation.code(one)) for one in expressions]
        return self._function([], ast.Tuple(codes, ast.Load()))

    def _function(self, body: list[ast.stmt], result: Code, more: Sequence[str] = ()) -> Callable[..., Any]:
        used = {node.id for part in (*body, result) for node in ast.walk(part) if isinstance(node, ast.Name)}
        head = [_assign(one, code) for one, code in _locals() if one in used]
        arguments = ast.arguments([], [ast.arg(one) for one in (*_ARGUMENTS, *more)], None, [], [], None, [])
        function = ast.FunctionDef("rules", arguments, [*head, *body, ast.Return(result)], [])
        module = ast.fix_missing_locations(ast.Module([function], []))
        found: dict[str, Any] = {}
        exec(compile(module, "<rules>", "exec"), self._namespace, found)  # noqa: S102 - of a tree of our own
        made: Callable[..., Any] = found["rules"]
        return made


def _value(code: AnyCode) -> Code:
    if isinstance(code, TextCode):
        return chosen(all_of(*code.guards), code.value, constant(None))
    if not isinstance(code, NumberCode):
        return negated(negated(code))
    parts = [code.value, times(constant(code.scale), code.below), constant(code.money)]
    return chosen(all_of(*code.guards), ast.Tuple(parts, ast.Load()), constant(None))


def _assign(identifier: str, code: Code) -> ast.stmt:
    return ast.Assign([ast.Name(identifier, ast.Store())], code)


def _caught(rule: ast.stmt, bit: int) -> ast.stmt:
    """The rule, with its error told to `failed`."""
    tell = ast.Expr(called(name("failed"), constant(bit), name("error")))
    return ast.Try([rule], [ast.ExceptHandler(name("Exception"), "error", [tell])], [], [])


def _locals() -> Iterator[tuple[str, Code]]:
    """What functions begin with, each where it is used."""
    for field in ("amount", "status", "merchant_id", "card_id", "country", "channel", "user_id", "txn_date"):
        yield field, attribute(name("transaction"), field)
    yield "meta_data", attribute(name("transaction"), "meta_data")
    yield "currency", called(attribute(name("transaction"), "currency", "upper"))
    yield "features", constant(None)
