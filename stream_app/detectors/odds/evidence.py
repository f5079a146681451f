"""How a flag of `odds` explains itself."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from schemas.money import LIMIT, amount_text
from schemas.rule import Words
from stream_app.detectors.odds.filter import Expected, Known

_NEWCOMER = (
    "{amount} is {ratio} the {mean} expected of a user of {window} payments where others spend "
    "{population_mean}; flags start at {flags_from}"
)
WORDS = Words(
    flag="{amount} is {ratio} this user's usual {mean} ({window} payments); flags start at {flags_from}",
    cell="{ratio} the usual {mean}",
    fields={
        "mean": "money",
        "window": "count",
        "ratio": "times",
        "threshold": "money",
        "flags_from": "times",
        "above_limit": "money",
        "population_mean": "money",
    },
    special=(
        "{amount} is above {above_limit}, from where on nearly all were frauds",
        _NEWCOMER,
    ),
)

_LITTLE = 5
"""Payments below which a flag says that little is known of the user."""
_Decimal = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]*)\.[0-9]{2}$")]


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a flagged amount was compared with."""

    mean: Annotated[_Decimal, msgspec.Meta(description="What the user usually spends at a time.")]
    window: Annotated[int, msgspec.Meta(description="How many payments that is known from.", ge=0)]
    ratio: Annotated[float, msgspec.Meta(description="How many times the usual the amount is.", ge=0)]
    threshold: Annotated[
        _Decimal, msgspec.Meta(description="The amount from which on this would be flagged.")
    ]
    flags_from: Annotated[float, msgspec.Meta(description="How many times the usual that is.", ge=0)]
    above_limit: Annotated[
        _Decimal | UnsetType, msgspec.Meta(description="The currency's limit, where the amount is above it.")
    ] = UNSET
    population_mean: Annotated[
        _Decimal | UnsetType,
        msgspec.Meta(description="What all users usually spend, where little is known of this one."),
    ] = UNSET


def evidence_of(amount: int, expected: Expected, known: Known, start: int) -> Evidence:
    """The evidence of a flag; `start`: the least amount that would have been flagged."""
    total, count, taught, _ = expected
    return Evidence(
        mean=amount_text((2 * total + count) // (2 * count)),
        window=taught,
        ratio=_times(amount * count, total),
        threshold=amount_text(min(start, LIMIT)),
        flags_from=_times(start * count, total),
        **_special(amount, taught, known),
    )


def _special(amount: int, taught: int, known: Known) -> dict[str, Any]:
    if known.limit is not None and amount > known.limit:
        return {"above_limit": amount_text(known.limit)}
    return {"population_mean": amount_text(known.mean)} if known.mean and taught < _LITTLE else {}


def _times(amount: int, total: int) -> float:
    return round(amount / total, 2)
