"""Rules as text and as plain Python: what each sees of a transaction and its past, and whether it fires."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

Numbers = dict[str, str | bool]
QUARTER, HOUR, DAY = 900, 3_600, 86_400
_FINE = 300


class Paid(NamedTuple):
    """A payment before: when, in seconds of an epoch, how much, in hundredths, and at which merchant."""

    at: int
    amount: int
    merchant: str | None


@dataclass(slots=True)
class Past:
    """What was kept of a user in a currency, for each of what rules may ask since they have asked for it."""

    amounts: list[Paid] = field(default_factory=list)
    distinct: list[Paid] = field(default_factory=list)
    seen: list[Paid] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Moment:
    """A transaction and all that rules may look at."""

    now: Paid
    user: str
    past: Past
    scores: Mapping[str, Any]
    lists: Mapping[str, AbstractSet[str]]

    def amounts(self, window: int) -> list[int]:
        """Those of a window of up to an hour, which slides in steps of five minutes."""
        first = self.now.at // _FINE - window // _FINE + 1
        return [one.amount for one in self.past.amounts if one.at // _FINE >= first]

    def merchants(self) -> int:
        """How many different ones in 24 hours, which slide by the hour."""
        first = self.now.at // HOUR - 23
        return len({one.merchant for one in self.past.distinct if one.merchant and one.at // HOUR >= first})

    def holds(self, name: str, text: str | None) -> bool:
        """Whether a list has a text."""
        return text in self.lists.get(name, ())


class Rule(NamedTuple):
    """A rule: `fires` gives the numbers that it tells where it does."""

    spec: Mapping[str, Any]
    fires: Callable[[Moment], Numbers | None]
    asks: str = ""
    """What is kept for it: a field of `Past`."""

    @property
    def name(self) -> str:
        """The rule's."""
        return str(self.spec["name"])


def money(hundredths: int) -> str:
    """With two decimals."""
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def _many(moment: Moment) -> Numbers | None:
    count, amount = len(moment.amounts(QUARTER)), moment.now.amount
    if count < 8 or amount >= 60_00:
        return None
    return {'count("15m")': str(count), "amount": money(amount)}


def _dear(moment: Moment) -> Numbers | None:
    amounts, amount = moment.amounts(HOUR), moment.now.amount
    if not amounts or amount <= 3 * (mean := Fraction(sum(amounts), len(amounts))):
        return None
    return {"amount": money(amount), 'mean("1h")': money(round(mean))}


def _blocked(moment: Moment) -> Numbers | None:
    return {'in_list("blocked", user_id)': True} if moment.holds("blocked", moment.user) else None


def _trusted(moment: Moment) -> Numbers | None:
    merchant = moment.now.merchant
    if merchant is None or not moment.holds("trusted", merchant):
        return None
    return {'in_list("trusted", merchant_id)': True, "merchant_id": merchant}


def _roaming(moment: Moment) -> Numbers | None:
    count = moment.merchants()
    return {'distinct("merchant_id", "24h")': str(count)} if count >= 3 else None


def _new(moment: Moment) -> Numbers | None:
    merchant = moment.now.merchant
    if merchant is None or merchant in {one.merchant for one in moment.past.seen}:
        return None
    return {'first_seen("merchant_id")': True}


def _odd(moment: Moment) -> Numbers | None:
    score = moment.scores["odds"]
    return {'score("odds")': str(score)} if score > -1500 else None


_SPECS: Sequence[tuple[Callable[[Moment], Numbers | None], str, Mapping[str, Any]]] = (
    (_many, "amounts", {"when": 'count("15m") >= 8 && amount < 60', "severity": "high"}),
    (_dear, "amounts", {"when": 'amount > 3 * mean("1h")', "severity": "low"}),
    (_blocked, "", {"when": 'in_list("blocked", user_id)', "severity": "critical"}),
    (_trusted, "", {"when": 'in_list("trusted", merchant_id)', "action": "allow"}),
    (_roaming, "distinct", {"when": 'distinct("merchant_id", "24h") >= 3', "action": "watch"}),
    (_new, "seen", {"when": 'first_seen("merchant_id")', "mode": "shadow"}),
    (_odd, "", {"when": 'score("odds") > -1500'}),
)
RULES = {
    name: Rule({"name": name, **spec}, fires, asks)
    for fires, asks, spec in _SPECS
    for name in [fires.__name__.removeprefix("_")]
}


def rule_set(detector: str, *rules: str, shadow: str = "") -> dict[str, Any]:
    """A rule set as a decision has it."""
    head = {"detector": detector, "shadow_detectors": shadow}
    return {**{name: one for name, one in head.items() if one}, "rules": [RULES[one].spec for one in rules]}


RULE_SETS: Sequence[Mapping[str, Any]] = (
    {},
    rule_set("odds", "many", "blocked", "trusted"),
    rule_set("merchant_labels", "dear", "roaming", "new", shadow="rolling_mean"),
    rule_set("rolling_mean,odds", "odd", "many", "roaming", "trusted"),
    rule_set("merchant_labels", "blocked"),
    rule_set("rolling_mean", "dear", "new", "blocked"),
)
"""Of every detector and rule, in several company."""
