"""Amounts as files have them: with a point or a comma before the decimals, and marks between thousands.

`150.000` is 150 in one file and 150,000 in another. Unless the marks are named, only amounts that can be read
in one way are read. Any other stops the file, and not its row alone: left out would be the largest ones.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

MARKS: Final = (".", ",", "'", " ")
# Any of these is written for the mark: no-break and thin spaces, the typographic apostrophe.
_WRITTEN = {".": ".", ",": ",", "'": "'\u2019", " ": " \u00a0\u2009\u202f"}
_ONE_WAY = re.compile(r"[0-9]+(?:\.[0-9]{1,2})?")
_TWO_WAYS = re.compile(r"-?[1-9][0-9]{0,2}([.,])[0-9]{3}")
_MARKED = re.compile(r"-?[0-9](?:[0-9.]*[,'\u2019\s]|[0-9]*\.[0-9]*\.)[0-9.,'\u2019\s]*")
_LONGEST = 40  # more characters are no amount


class UnclearAmountError(Exception):
    """An amount that can be read in several ways; the message says how to say which."""


@dataclass(frozen=True)
class AmountMarks:
    """The marks in the amounts of a file; one that is None follows from the other.

    With a comma before the decimals, any other mark may stand between thousands; with points between those,
    only a comma can stand before the decimals. Groups of two are read, too, but for the last.

    >>> AmountMarks(decimal=",").plain("1.234,50"), AmountMarks(thousands=",").plain("1,23,456.7")
    ('1234.50', '123456.7')
    """

    decimal: str | None = None
    thousands: str | None = None
    way: str = "--{} {}"
    """How a mark is named where these are read, for messages."""

    @property
    def are_named(self) -> bool:
        """Whether any mark is."""
        return self.decimal is not None or self.thousands is not None

    def plain(self, text: str) -> str:
        """The amount as a JSON number is written; text that is no number in any case is left to the decoder.

        Raises:
            UnclearAmountError: No mark is named, and it needs one.
            ValueError: It is not written with the marks that are named.
        """
        if not self.are_named:
            return text if _ONE_WAY.fullmatch(text) or len(text) > _LONGEST else self._checked(text)
        found = self._form.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            raise ValueError(f"{text[:_LONGEST]!a} is not a number with {self._words()}")
        sign, units, _mark, decimals = found.groups()
        return sign + re.sub("[^0-9]", "", units) + (f".{decimals}" if decimals else "")

    @cached_property
    def _form(self) -> re.Pattern[str]:
        points = self.decimal or ".,".replace(self.thousands or "", "")
        between = "".join(_WRITTEN[mark] for mark in (self.thousands or MARKS) if mark != self.decimal)
        return re.compile(
            rf"(-?)([0-9]{{1,3}}([{between}])(?:[0-9]{{2,3}}\3)*[0-9]{{3}}|[0-9]+)(?:[{points}]([0-9]+))?"
        )

    def _words(self) -> str:
        names = (("before the decimals", self.decimal), ("between thousands", self.thousands))
        return " and ".join(f"{mark!r} {where}" for where, mark in names if mark)

    def _checked(self, text: str) -> str:
        """The text, unless it has marks that have to be named."""
        if two := _TWO_WAYS.fullmatch(text):
            mark, small, large = two[1], text.replace(two[1], "."), text.replace(two[1], "")
            raise UnclearAmountError(
                f"the amount {text} can be read in two ways: say {self._way('decimal', mark)} "
                f"if it is {small} as a number, {self._way('thousands', mark)} if it is {large}"
            )
        if _MARKED.fullmatch(text):
            last = re.sub("[^.,]", "", text)[-1:]
            decimal = self._way("decimal", last if text.count(last) == 1 else "")
            raise UnclearAmountError(
                f"the amount {text!a} has marks: say which one stands before the decimals, "
                f"{'probably' if text.count(last) == 1 else 'with'} {decimal}, "
                f"or between thousands, with {self._way('thousands', '')}"
            )
        return text

    def _way(self, name: str, mark: str) -> str:
        return self.way.format(name, mark).removesuffix(' = ""').rstrip()
