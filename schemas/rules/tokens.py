"""The words of an expression, each with its place."""

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

import msgspec

LONGEST = 4_000
"""Characters of an expression."""
LONGEST_NUMBER = 40
"""Digits of a number: the largest amount has 20."""

Kind = Literal["number", "text", "name", "mark", "end"]

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|//[^\n]*)
    |(?P<number>[0-9]+(?:\.[0-9]+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<mark>&&|\|\||[=!<>]=|[<>!?:+\-*/()\[\],.])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
_REMEDIES = {
    "=": "equality is ==",
    "&": "and is &&",
    "|": "or is ||",
    '"': 'the text that begins here has no closing "',
    "'": "the text that begins here has no closing '",
    "%": "there is no remainder",
}


class ExpressionError(ValueError):
    """What is wrong with an expression, at which of its characters, and what to do about it."""

    def __init__(self, at: int, sentence: str) -> None:
        super().__init__(sentence)
        self.at, self.sentence = at, sentence


class Token(msgspec.Struct, frozen=True):
    """A word, and at which character it begins."""

    kind: Kind
    text: str
    at: int
    value: Fraction | str = ""
    """What a number or a text stands for."""


def tokens_of(expression: str) -> Iterator[Token]:
    """The words in their order, the last one of kind `end`.

    Raises:
        ExpressionError: Something is no word.

    >>> [token.text for token in tokens_of('amount>=12.50 && country in ["IN"] // abroad')]
    ['amount', '>=', '12.50', '&&', 'country', 'in', '[', '"IN"', ']', '']
    """
    if len(expression) > LONGEST:
        raise ExpressionError(LONGEST, f"longer than {LONGEST:,} characters: make several rules of it")
    at = 0
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if found is None:
            raise ExpressionError(at, _unknown(expression[at]))
        if found.lastgroup != "space":
            yield _token(found, expression)
        at = found.end()
    yield Token("end", "", at)


def _token(found: re.Match[str], expression: str) -> Token:
    text, at = found[0], found.start()
    if found.lastgroup == "number":
        return Token("number", text, at, _number(text, at, expression[found.end() : found.end() + 1]))
    if found.lastgroup == "text":
        return Token("text", text, at, _text(text, at))
    return Token("name" if found.lastgroup == "name" else "mark", text, at)


def _number(text: str, at: int, after: str) -> Fraction:
    if after.isalnum() or after == "_":
        raise ExpressionError(at, "a number is digits alone, such as 1000 or 0.25")
    if len(text) > LONGEST_NUMBER:
        raise ExpressionError(at, f"a number has at most {LONGEST_NUMBER} digits")
    return Fraction(text)


def _text(text: str, at: int) -> str:
    def character(found: re.Match[str]) -> str:
        escape = found[1]
        known = chr(int(escape[1:], 16)) if len(escape) > 1 else _ESCAPED.get(escape)
        if known is None or known == "\0" or "\ud800" <= known <= "\udfff":
            raise ExpressionError(
                at + 1 + found.start(), r"""in a text, \ stands before one of " ' \ n r t or uXXXX"""
            )
        return known

    value = _ESCAPE.sub(character, text[1:-1])
    if not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value):
        raise ExpressionError(at, "a text has half of a character (a lone surrogate)")
    return value


def _unknown(character: str) -> str:
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    remedy = _REMEDIES.get(character, "outside of texts there are names, numbers and operators")
    return f"{shown} means nothing here: {remedy}"
