"""A second detector: flags an amount that is several times the user's largest, however long ago."""

import struct
from collections.abc import Iterable, Sequence
from math import inf, nextafter
from typing import Annotated, NamedTuple

import msgspec
from pydantic import Field

from infra.runtime.settings import WindowSettings
from schemas.money import amount_text
from schemas.rule import Line, Words
from schemas.transaction import Transaction
from stream_app.scoring import Detector, StateFormat
from stream_app.window import Window
from tests.support.traffic import Sent

_COUNT = struct.Struct("<Q")


class Seen(NamedTuple):
    """What is kept of a user: the largest amount, in hundredths, and of how many."""

    largest: int = 0
    number: int = 0


def encode(seen: Seen) -> bytes:
    """The count, and the amount in as many bytes as it takes."""
    return _COUNT.pack(seen.number) + seen.largest.to_bytes(9, "little")


def decode(data: bytes) -> Seen:
    """What `encode` made these bytes of."""
    return Seen(int.from_bytes(data[_COUNT.size :], "little"), *_COUNT.unpack_from(data))


class Evidence(msgspec.Struct, frozen=True):
    """What a flagged amount was compared with."""

    largest: Annotated[str, msgspec.Meta(description="Of the user's amounts before.", pattern=r"^\d+\.\d\d$")]
    seen: Annotated[int, msgspec.Meta(description="How many amounts that were.", ge=1)]
    times: Annotated[float, msgspec.Meta(description="How many times the largest it is.", gt=0)]


class Settings(WindowSettings):
    """When an amount is flagged."""

    largest_factor: int = Field(2, ge=1)
    """How many times the largest an amount has to exceed to be flagged."""


class Largest(Detector[Seen]):
    """Flags an amount above so many times the largest before it, from the second on."""

    NAME = "largest"
    VERSION = 1
    EVIDENCE = Evidence
    SETTINGS = Settings
    WORDS = Words(
        flag="With {amount}, this user spends {times} the {largest} that was the most in {seen} transactions",
        cell="{times} the most so far",
        fields={"largest": "money", "seen": "count", "times": "times"},
    )
    STATE = StateFormat(version=1, fresh=Seen(), encode=encode, decode=decode)

    def __init__(self, settings: Settings, profile: msgspec.Struct | None = None) -> None:
        super().__init__(settings, profile)
        self.threshold = nextafter(settings.largest_factor, inf)

    def sentence(self) -> str:
        """What is flagged, in one sentence."""
        return f"An amount is flagged above {self.settings.largest_factor} times the largest before it."

    def lines(self) -> Sequence[Line]:
        """What the next amount has to exceed."""
        factor = float(self.settings.largest_factor)
        return [Line("most expected", of="largest", window=0, factor=factor, threshold=True)]

    def score_one(
        self, window: Window, state: Seen, transaction: Transaction
    ) -> tuple[float, Evidence | None]:
        """How many times the largest it is; the evidence of an amount above the threshold."""
        amount, largest = transaction.amount, state.largest
        if not largest:
            return 0.0, None
        if amount <= self.settings.largest_factor * largest:
            return amount / largest, None
        evidence = Evidence(amount_text(largest), state.number, round(amount / largest, 4))
        return max(amount / largest, self.threshold), evidence

    def learn_one(self, window: Window, state: Seen, transaction: Transaction, *, flagged: bool) -> Seen:
        """The state with this amount."""
        return Seen(max(state.largest, transaction.amount), state.number + 1)


def flagged_by_largest(transactions: Iterable[Sent]) -> set[str]:
    """What it flags, at twice the largest, in a plain loop over all that each user has spent."""
    found, spent = set(), dict[str, list[int]]()
    for sent in transactions:
        before = spent.setdefault(sent.user_id, [])
        if before and sent.hundredths > 2 * max(before) > 0:
            found.add(sent.id)
        before.append(sent.hundredths)
    return found
