"""Faults shown where they are: the place in a text, and the line with a mark below it."""

import re

_SHOWN = 200


def pointed(text: str, at: int, named: str, sentence: str) -> str:
    r"""A fault with the place of its character in a text that is called `named`.

    >>> print(pointed("a = 1\nb = two", 10, "m.toml", "not a number"))
    m.toml:2:5: not a number
    b = two
        ^
    """
    line, begin = text.count("\n", 0, at) + 1, text.rfind("\n", 0, at) + 1
    column = at - begin
    shown = text[begin:].partition("\n")[0].rstrip("\r")
    cut = max(0, column - _SHOWN // 2)
    below = re.sub(r"[^\t]", " ", shown[cut:column])
    return f"{named}:{line}:{column + 1}: {sentence}\n{shown[cut : cut + _SHOWN]}\n{below}^"
