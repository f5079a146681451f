"""Reads expressions: a subset of CEL, with its precedence."""

from collections.abc import Callable

from schemas.rules.tokens import ExpressionError, Token, tokens_of
from schemas.rules.tree import (
    CHAINS,
    COMPARISONS,
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

DEEPEST = 32
"""How deep parentheses, calls, lists, conditions and signs may stand within each other."""
_MOST_MEMBERS = 3
_WORDS = {"and": "&&", "or": "||", "not": "!", "is": "=="}
_CONSTANTS = {"true": True, "false": False}


def parse(expression: str) -> Node:
    """The tree of an expression.

    Raises:
        ExpressionError: It is none.
    """
    return _Parser(expression).whole()


class _Parser:
    """Each method reads from the current word on what it is named after."""

    def __init__(self, expression: str) -> None:
        self._tokens = list(tokens_of(expression))
        self._position = self._depth = 0

    def whole(self) -> Node:
        """All of it."""
        if len(self._tokens) == 1:
            raise ExpressionError(0, "there is nothing: write a condition, such as amount > 100")
        node = self._expression()
        if self._token.kind != "end":
            raise ExpressionError(self._token.at, _out_of_place(self._token))
        return node

    @property
    def _token(self) -> Token:
        return self._tokens[self._position]

    def _next(self) -> Token:
        self._position += 1
        return self._tokens[self._position - 1]

    def _take(self, *texts: str) -> Token | None:
        """The current word where it is one of these operators or keywords, which are names to the tokens."""
        token = self._token
        return self._next() if token.kind in {"mark", "name"} and token.text in texts else None

    def _expect(self, text: str, what: str) -> Token:
        if (found := self._take(text)) is None:
            raise ExpressionError(self._token.at, f"{text} is missing here: {what}")
        return found

    def _deeper(self, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError(self._token.at, f"deeper than {DEEPEST} levels: make several rules of it")
        node = read()
        self._depth -= 1
        return node

    def _expression(self) -> Node:
        condition = self._chain(0)
        if (mark := self._take("?")) is None:
            return condition
        yes = self._deeper(lambda: self._chain(0))
        self._expect(":", "a condition is written condition ? value : other value")
        return Conditional(mark.at, condition, yes, self._deeper(self._expression))

    def _chain(self, level: int) -> Node:
        if level == len(CHAINS):
            return self._unary()
        read = self._comparison if level == 1 else lambda: self._chain(level + 1)
        operands, operators, at = [read()], [], self._token.at
        while (operator := self._take(*CHAINS[level])) is not None:
            operators.append(operator.text)
            operands.append(read())
        return Chain(at, (*operands,), (*operators,)) if operators else operands[0]

    def _comparison(self) -> Node:
        left = self._chain(2)
        if (operator := self._take(*COMPARISONS)) is None:
            return left
        right = self._chain(2)
        if again := self._take(*COMPARISONS):
            raise ExpressionError(again.at, "comparisons do not join: write a < b && b < c")
        return Comparison(operator.at, left, operator.text, right)

    def _unary(self) -> Node:
        if (operator := self._take("!", "-")) is None:
            return self._postfix()
        return Unary(operator.at, operator.text, self._deeper(self._unary))

    def _postfix(self) -> Node:
        node = self._primary()
        for _ in range(_MOST_MEMBERS):
            if (mark := self._take(".", "[")) is None:
                return node
            node = self._member(node) if mark.text == "." else self._index(node, mark)
        if self._token.text in {".", "["}:
            raise ExpressionError(self._token.at, "nothing here has members that have members")
        return node

    def _member(self, of: Node) -> Node:
        token = self._next()
        if token.kind != "name":
            raise ExpressionError(token.at, "a name is missing after the point")
        if self._take("("):
            return Call(token.at, token.text, self._several(")"), of)
        return Member(token.at, of, token.text)

    def _index(self, of: Node, mark: Token) -> Node:
        token = self._next()
        if not isinstance(token.value, str) or token.kind != "text":
            raise ExpressionError(token.at, 'a name in quotes belongs here, as in meta_data["shop"]')
        self._expect("]", "a bracket is open")
        return Member(mark.at, of, token.value)

    def _primary(self) -> Node:
        token = self._next()
        if token.kind in {"number", "text"}:
            return Literal(token.at, token.value)
        if token.kind == "name" and token.text not in _WORDS and token.text != "in":
            return self._name(token)
        if token.text == "(":
            node = self._deeper(self._expression)
            self._expect(")", "a parenthesis is open")
            return node
        if token.text == "[":
            return Listing(token.at, self._several("]"))
        raise ExpressionError(token.at, _no_value(token))

    def _name(self, token: Token) -> Node:
        if token.text in _CONSTANTS:
            return Literal(token.at, _CONSTANTS[token.text])
        if self._take("("):
            return Call(token.at, token.text, self._several(")"))
        return Name(token.at, token.text)

    def _several(self, end: str) -> tuple[Node, ...]:
        """Values with commas between, and the bracket that ends them."""
        if self._take(end):
            return ()
        found = [self._deeper(self._expression)]
        while self._take(","):
            found.append(self._deeper(self._expression))
        self._expect(end, "a bracket is open, or a comma is missing")
        return (*found,)


def _out_of_place(token: Token) -> str:
    if token.text in _WORDS:
        return f"{token.text} is written {_WORDS[token.text]}"
    return f"{token.text} does not belong here: is an operator, such as &&, missing before it"


def _no_value(token: Token) -> str:
    if token.text in _WORDS:
        return f"{token.text} is written {_WORDS[token.text]}"
    return f'{token.text or "the end"} stands where a value belongs, such as amount, 20 or count("1h")'
