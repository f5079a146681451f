"""What history taught the detector: numbers that are the same for every user, frozen."""

from fractions import Fraction
from typing import Annotated

import msgspec

from schemas.money import parse_amount

_Money = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,2})?$")]


class Currency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of a currency."""

    mean: Annotated[_Money, msgspec.Meta(description="What all users spend at a time, on average; above 0.")]
    limit: Annotated[
        _Money | None, msgspec.Meta(description="Above it nearly all were frauds. Only labels can tell.")
    ] = None

    def __post_init__(self) -> None:
        if not parse_amount(self.mean):
            raise ValueError("the mean has to be above 0")


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The filter's constants; the defaults are for who has no history, and no currency is known then."""

    threshold: Annotated[
        int | None, msgspec.Meta(description="Log odds in 1/512 nat from which on a transaction is flagged.")
    ] = None
    factor: Annotated[
        float, msgspec.Meta(gt=1, le=20, description="How many times the usual a thief spends.")
    ] = 4.0
    base: Annotated[
        float,
        msgspec.Meta(ge=1e-5, le=0.5, description="How likely a card of which nothing is known is stolen."),
    ] = 0.01
    share: Annotated[
        float,
        msgspec.Meta(ge=0.01, le=0.99, description="How many of a stolen card's transactions are frauds."),
    ] = 0.33
    hours: Annotated[
        int,
        msgspec.Meta(ge=1, le=2400, description="In how many hours what is known of a risk falls to 1/e."),
    ] = 240
    currencies: Annotated[
        dict[Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")], Currency],
        msgspec.Meta(description="By the currency's code."),
    ] = {}


def exact(number: float) -> Fraction:
    """The number as it is written.

    >>> exact(0.33)
    Fraction(33, 100)
    """
    return Fraction(repr(number))
