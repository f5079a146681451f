"""How a flag explains itself: by the amount as `odds` does, by the merchant, or by both."""

from typing import Annotated, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from schemas.rule import Words
from stream_app.detectors.merchant_labels.chances import WHOLE, Chance
from stream_app.detectors.odds.evidence import WORDS as OF_AMOUNTS
from stream_app.detectors.odds.evidence import Evidence as OfAmount
from stream_app.scoring import MerchantRun

_MERCHANT = (
    "frauds in a row at the merchant: {merchant_frauds}, since {merchant_days} days; "
    "{merchant_chance} of 100 such were frauds"
)
WORDS = Words(
    flag=OF_AMOUNTS.flag,
    cell=OF_AMOUNTS.cell,
    fields={
        **OF_AMOUNTS.fields,
        "merchant_frauds": "count",
        "merchant_days": "count",
        "merchant_chance": "count",
    },
    special=(
        "{amount} is above {above_limit}, from where on nearly all were frauds; " + _MERCHANT,
        "{amount} is {ratio} this user's usual {mean} ({window} payments); " + _MERCHANT,
        "{amount}: " + _MERCHANT,
        *OF_AMOUNTS.special,
    ),
)


class OfMerchant(msgspec.Struct, frozen=True):
    """The merchant's part of the evidence."""

    merchant_frauds: Annotated[
        int, msgspec.Meta(description="How many frauds in a row there were at the merchant.", ge=1)
    ]
    merchant_days: Annotated[int, msgspec.Meta(description="How many days ago the first of them was.")]
    merchant_chance: Annotated[
        int, msgspec.Meta(description="Of 100 transactions at such merchants, how many were frauds.", ge=0)
    ]


def of_merchant(run: MerchantRun, day: int, chance: Chance) -> OfMerchant:
    """What a run says of a transaction of this day."""
    return OfMerchant(run.frauds, day - run.first, (chance.of_thousand * 100 + WHOLE // 2) // WHOLE)


def _optional() -> type[msgspec.Struct]:
    """The fields of both parts, of which a flag has one or the other."""
    hints = [get_type_hints(part, include_extras=True) for part in (OfAmount, OfMerchant)]
    fields = [(name, its | UnsetType, UNSET) for part in hints for name, its in part.items()]
    return msgspec.defstruct("Evidence", fields, frozen=True, omit_defaults=True, module=__name__)


Evidence = _optional()
"""Either part, or both."""
