"""How the amounts of a column are written, as far as their values tell."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from infra.mapping.sample import SeenValues

_SYMBOLS: Final = {"$": "USD", "€": "EUR", "£": "GBP", "₹": "INR", "¥": "JPY"}
_CODES: Final = frozenset(
    re.findall(
        "[A-Z]{3}",
        "AED ARS AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF IDR ILS INR JPY KRW "
        "MXN MYR NOK NZD PHP PLN RON SEK SGD THB TRY TWD UAH USD VND ZAR",
    )
)
_MINOR: Final = frozenset(["cents", "cent", "minor", "pence", "paise", "centesimi"])
_NUMBER = re.compile(r"[-+(]?[0-9][0-9.,' \u00a0\u202f\u2019]*[-)]?(?:[eE][+-]?[0-9]+)?")
_ENDS = re.compile(r"([.,])([0-9]+)[)-]?$")
_GROUP = 3
_FEW = 0.95


@dataclass
class Written:
    """The keys of a mapping's `[amount]`, and what a person should know."""

    keys: dict[str, object] = field(default_factory=dict)
    currency: str = ""
    """That of the symbol that stands beside the amounts."""
    notes: list[str] = field(default_factory=list)
    unclear: str = ""
    """The amount that can be read in two ways, if that is so of all."""
    has_decimals: bool = False


def written(seen: SeenValues) -> Written | None:
    """How the amounts of a column are written; None where these are no amounts."""
    found = _of_texts(seen)
    if found is not None:
        named = [word for word in re.findall("[A-Z]{3}", seen.path) if word in _CODES]
        found.currency = found.currency or "".join(named[:1])
        if _MINOR & {*seen.words} and not found.has_decimals:
            found.keys["minor_units"] = True
            found.notes.clear()
    return found


def _of_texts(seen: SeenValues) -> Written | None:
    symbols = {one for text in seen.texts for one in text if one in _SYMBOLS}
    plain = [_without(text, symbols) for text in seen.texts]
    numbers = [text for text in plain if _NUMBER.fullmatch(text)]
    if not numbers or len(numbers) < _FEW * len(plain):
        return None
    found = Written()
    if symbols:
        found.keys["remove"] = "".join(sorted(symbols))
    if len(symbols) == 1:
        found.currency = _SYMBOLS[symbols.pop()]
    return _signed(numbers, found) if _marked(numbers, found) else None


def _without(text: str, symbols: set[str]) -> str:
    return "".join(one for one in text if one not in symbols).strip()


def _marked(numbers: Sequence[str], found: Written) -> bool:
    """Note the marks; whether they can be those of amounts."""
    ends = [end for text in numbers if (end := _ENDS.search(text))]
    sure = {end[1] for end in ends if len(end[2]) != _GROUP}
    sure |= {end[1] for end, text in ((end, end.string) for end in ends) if ({",", "."} - {end[1]}) & {*text}}
    if len(sure) > 1:
        return False
    found.has_decimals = bool(sure)
    if sure:
        (mark,) = sure
        found.keys["decimal"] = mark
        if any(end[1] == mark and len(end[2].rstrip("0")) > 2 for end in ends):  # noqa: PLR2004 - hundredths
            found.keys["round"] = "half even"
            found.notes.append("some have more than two decimals: they are rounded")
    elif ends:
        found.unclear = ends[0].string
    else:
        _whole(numbers, found)
    return True


def _whole(numbers: Sequence[str], found: Written) -> None:
    """Note what whole numbers count."""
    if any(text.startswith("0") and len(text) > 1 for text in numbers):
        found.keys["minor_units"] = True
        found.notes.append("numbers with zeros before them: they are taken as cents")
    else:
        found.notes.append("whole numbers alone: say minor_units = true if they count cents")


def _signed(numbers: Sequence[str], found: Written) -> Written:
    negative = sum(text.startswith(("-", "(")) or text.endswith("-") for text in numbers)
    if negative > len(numbers) / 2:
        found.keys["sign"] = "skip positive"
        found.notes.append(f"{negative:,} of {len(numbers):,} are negative: these are taken as the payments")
    elif negative:
        found.keys["sign"] = "skip negative"
        found.notes.append(f"{negative:,} of {len(numbers):,} are negative: they are left out")
    return found
