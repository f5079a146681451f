"""How a detector explains itself: what a worker answers of its rule, and API, page and demo speak from."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

Reading = Literal["money", "times", "count"]
"""How a field of a flag's evidence reads: `INR 1,266.00`, `7.3 times`, `20`."""
_READ: Mapping[Reading, Callable[[Any, str], str]] = {
    "money": lambda value, currency: f"{currency} {float(value):,.2f}",
    "times": lambda value, _: f"{value:.1f} times",
    "count": lambda value, _: f"{value:,}",
}
_NO_FACTS = {"is_anomaly", "detector", "rule", "reasons", "severity"}
_FIELD = re.compile(r"{(\w+)}")


class Words(msgspec.Struct, frozen=True):
    """A detector's flags in words; `{amount}` and fields of the evidence stand in braces."""

    flag: str
    """The sentence of a flag, unless a special one fits."""
    cell: str
    """The same as short as a cell of a table."""
    fields: dict[str, Reading]
    """How each field of the evidence reads; one that a flag may lack stands in special sentences alone."""
    special: tuple[str, ...] = ()
    """Sentences instead of `flag`: the first whose fields are all in the evidence counts."""


class Line(msgspec.Struct, frozen=True):
    """A line over the chart of a user's amounts: `factor` times the mean or the largest of those before.

    One of a detector's `state` is known only where the worker has said it: at each flag, by the `threshold`
    of its evidence, and now, by the detector's `flags_from`.
    """

    name: str
    of: Literal["mean", "largest", "state"]
    window: int = 0
    """Of how many amounts before; 0: of all."""
    minimum: int = 1
    """Of fewer amounts there is no line."""
    factor: float = 1.0
    threshold: bool = False
    """Whether an amount above the line is flagged."""
    detector: str = ""
    """Whose state."""


class Running(msgspec.Struct, frozen=True):
    """A detector of a worker."""

    detector: str
    version: int
    sentence: str
    """What it flags."""
    rule: str
    """Eight hexadecimal digits that stand for detector, version, settings and profile."""
    has_profile: bool = False
    """Whether history taught it."""


class Rule(msgspec.Struct, frozen=True):
    """The rule that a worker runs, and the words of all detectors: flags of former rules stay readable."""

    detector: str
    """The name; of several that decide, all names with commas between."""
    version: int
    """Counts up when the detector decides otherwise; of several the largest."""
    window: int
    """How many of a user's transactions the worker keeps."""
    settings: dict[str, Any]
    sentence: str
    """What is flagged."""
    lines: Sequence[Line]
    words: dict[str, Words]
    """By detector."""
    rule: str = ""
    """Eight hexadecimal digits that stand for all that a verdict depends on: each verdict names them."""
    deciding: Sequence[Running] = ()
    """The detectors that decide, one by one."""
    watching: Sequence[Running] = ()
    """Those that only watch: what they would flag is in a row's `meta_data.shadow`."""
    decision: int = 0
    """The number of the decision that made it hold; 0: it is of the worker's settings."""


def sentence(row: Mapping[str, Any], words: Mapping[str, Words]) -> str:
    """A flagged row in words; where its detector is unknown, with the fields as they are.

    >>> flag = {"is_anomaly": True, "detector": "large", "than": "1266.00"}
    >>> row = {"amount": "9240.00", "currency": "INR", "meta_data": flag}
    >>> sentence(row, {"large": Words("{amount} is above {than}", "", {"than": "money"})})
    'INR 9,240.00 is above INR 1,266.00'
    >>> new = Words("{amount} is above {than}", "", {"than": "money", "seen": "count"}, ("Only {seen} seen",))
    >>> sentence(row, {"large": new})
    'INR 9,240.00 is above INR 1,266.00'
    >>> sentence({**row, "meta_data": {**flag, "seen": 2}}, {"large": new})
    'Only 2 seen'
    >>> sentence(row, {})
    'INR 9,240.00 was flagged by large: {"than": "1266.00"}'
    >>> ruled = {"detector": "rules", "reasons": [{"rule": "a", "message": "3 in an hour"}]}
    >>> sentence({**row, "meta_data": ruled}, {})
    'INR 9,240.00: 3 in an hour'
    """
    flag, amount = row["meta_data"], _READ["money"](row["amount"], row["currency"])
    reasons = _messages(flag.get("reasons"))
    found = [] if reasons and flag["detector"] == "rules" else [_of_detector(flag, amount, row, words)]
    return "; ".join([*found, *reasons]) if found else f"{amount}: {'; '.join(reasons)}"


def _messages(reasons: Any) -> list[str]:
    """What rules say; nothing of what a producer called so before there were any."""
    those = reasons if isinstance(reasons, list) else []
    return [str(one["message"]) for one in those if isinstance(one, dict) and "message" in one]


def _of_detector(
    flag: Mapping[str, Any], amount: str, row: Mapping[str, Any], words: Mapping[str, Words]
) -> str:
    if (its := words.get(flag["detector"])) is None:
        facts = {name: value for name, value in flag.items() if name not in _NO_FACTS}
        return f"{amount} was flagged by {flag['detector']}: {json.dumps(facts)}"
    fields = {name: reading for name, reading in its.fields.items() if name in flag}
    shown = {name: _READ[reading](flag[name], row["currency"]) for name, reading in fields.items()}
    shown["amount"] = amount
    text = next((one for one in its.special if shown.keys() >= {*_FIELD.findall(one)}), its.flag)
    return _FIELD.sub(lambda field: shown[field[1]], text)
