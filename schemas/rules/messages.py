"""A rule's message: text in which expressions stand in braces."""

import re
from collections.abc import Iterator

from schemas.rules.checking import Checked, checked
from schemas.rules.tokens import ExpressionError

_PIECE = re.compile(
    r"""(?P<text>(?:[^{}]|\{\{|\}\})+)|\{(?P<expression>(?:[^{}"']|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*)\}"""
)


def pieces_of(message: str) -> Iterator[str | Checked]:
    """Its texts and expressions in their order; `{{` and `}}` stand for braces.

    Raises:
        ExpressionError: A brace has no other, or an expression means nothing; with its place in the message.

    >>> [piece if isinstance(piece, str) else piece.tree for piece in pieces_of("{amount} is {{much}}")]
    [Name(at=0, name='amount'), ' is {much}']
    """
    at = 0
    while at < len(message):
        found = _PIECE.match(message, at)
        if found is None:
            raise ExpressionError(at, "a brace without its other: write {{ or }} for one that is to be seen")
        yield found["text"].replace("{{", "{").replace("}}", "}") if found["text"] else _inner(found)
        at = found.end()


def _inner(found: re.Match[str]) -> Checked:
    try:
        return checked(found["expression"])
    except ExpressionError as error:
        raise ExpressionError(found.start("expression") + error.at, error.sentence) from None
