"""What expressions may name: fields, functions and time spans, with their kinds and what they cost."""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

Kind = Literal["yes or no", "number", "text", "time", "map", "list of numbers", "list of texts"]
Argument = Literal["span", "of", "detector", "list", "text", "anything"]
"""The first four are texts written out: a time span, a field whose values are counted, names."""


class Meaning(msgspec.Struct, frozen=True):
    """A field or a function."""

    kind: Kind
    cost: int
    help: str
    arguments: tuple[Argument, ...] = ()
    is_feature: bool = False
    """Whether it is of the user's past, and so kept as state."""
    is_money: bool = False
    may_be_absent: bool = False


_TEXT = "Text, as the producer sent it."
_OPTIONAL = f"{_TEXT} May be absent."
FIELDS: Mapping[str, Meaning] = {
    "amount": Meaning("number", 1, "In units of the currency, exact.", is_money=True),
    "currency": Meaning("text", 2, "Three letters, in capitals."),
    "status": Meaning("text", 1, _TEXT),
    "merchant_id": Meaning("text", 1, _OPTIONAL, may_be_absent=True),
    "card_id": Meaning("text", 1, _OPTIONAL, may_be_absent=True),
    "country": Meaning("text", 1, "Two letters, in capitals. May be absent.", may_be_absent=True),
    "channel": Meaning("text", 1, _OPTIONAL, may_be_absent=True),
    "user_id": Meaning("text", 1, "The user's id, in small letters."),
    "txn_date": Meaning("time", 1, "In UTC; ask it `getHours()` and the like."),
    "meta_data": Meaning("map", 1, "The producer's own: `meta_data.shop` is a text, or absent."),
    "ratio": Meaning(
        "number", 3, "The amount over the mean of the user's window; absent without one.", may_be_absent=True
    ),
    "hours_since_last": Meaning(
        "number",
        4,
        "Whole hours since the newest one before; 0 where this one is late. Absent for the first.",
        is_feature=True,
        may_be_absent=True,
    ),
}
"""What stands without parentheses."""

_SPAN: tuple[Argument, ...] = ("span",)
FUNCTIONS: Mapping[str, Meaning] = {
    "count": Meaning("number", 4, "How many there were in the span.", _SPAN, is_feature=True),
    "sum": Meaning("number", 4, "Their amounts together.", _SPAN, is_feature=True, is_money=True),
    "mean": Meaning(
        "number",
        5,
        "Their mean; absent without any.",
        _SPAN,
        is_feature=True,
        is_money=True,
        may_be_absent=True,
    ),
    "max": Meaning(
        "number",
        4,
        "The largest; absent without any.",
        _SPAN,
        is_feature=True,
        is_money=True,
        may_be_absent=True,
    ),
    "distinct": Meaning(
        "number", 5, "How many values the field had in the span, up to 64.", ("of", "span"), is_feature=True
    ),
    "first_seen": Meaning(
        "yes or no",
        5,
        "Whether the user has not had the field's value among the last 64; no where it is absent.",
        ("of",),
        is_feature=True,
    ),
    "score": Meaning(
        "number", 3, "What a detector that runs says of this one.", ("detector",), may_be_absent=True
    ),
    "in_list": Meaning(
        "yes or no", 6, "Whether the list has the text; no where it is absent.", ("list", "text")
    ),
    "has": Meaning("yes or no", 1, "Whether a value is there.", ("anything",)),
}

METHODS: Mapping[tuple[Kind, str], Meaning] = {
    ("text", "startsWith"): Meaning("yes or no", 2, "Whether it begins with the other.", ("text",)),
    ("text", "endsWith"): Meaning("yes or no", 2, "Whether it ends with the other.", ("text",)),
    ("text", "contains"): Meaning("yes or no", 2, "Whether the other is a part of it.", ("text",)),
    ("text", "size"): Meaning("number", 2, "How many characters it has."),
    ("time", "getHours"): Meaning("number", 2, "0 to 23."),
    ("time", "getMinutes"): Meaning("number", 2, "0 to 59."),
    ("time", "getDayOfWeek"): Meaning("number", 2, "0 is Sunday, 6 Saturday."),
    ("time", "getDate"): Meaning("number", 2, "The day of the month, from 1 on."),
}
"""What is asked of a text or a time, as `status.startsWith("pay")`."""

_UNITS = {
    "m": (60, (5, 10, 15, 30)),
    "h": (3_600, (1, 2, 3, 6, 12, 24)),
    "d": (86_400, (2, 3, 7, 14, 30, 60, 90)),
}
SPANS: Mapping[str, int] = {
    f"{number}{unit}": number * seconds for unit, (seconds, numbers) in _UNITS.items() for number in numbers
}
"""Time spans in seconds."""
NAME = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
"""Of a list or detector."""

MOST_COST = 500
"""Of one expression: each operator costs 1, each other part what its `Meaning` says."""
MOST_COST_OF_ALL = 30_000
"""Of all rules of a set."""
MOST_STATE = 4_096
"""Bytes that a set's features may need of a user in a currency."""
