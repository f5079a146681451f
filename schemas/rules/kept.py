"""Since which decision each feature of a rule set is kept: one that nobody asked for before has no past."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache

from schemas.rules.features import Feature, tier_of
from schemas.rules.language import SPANS
from schemas.rules.rule_set import CheckedRule, RuleSpec

_SPAN_NAMES = {seconds: name for name, seconds in SPANS.items()}
# The three are read from one part of a user's state.
_AMOUNTS = frozenset({"count", "sum", "mean"})
_KNOWN_RULES = 4_096

NamedFeatures = tuple[int, Collection[Feature]]
"""The number of a decision, and the features that rules ask for from then on."""


def feature_text(feature: Feature) -> str:
    """A feature as rules name it.

    >>> feature_text(Feature("distinct", 86400, "merchant_id")), feature_text(Feature("hours_since_last"))
    ('distinct("merchant_id", "24h")', 'hours_since_last')
    """
    given = [one for one in (feature.field, _SPAN_NAMES.get(feature.window, "")) if one]
    quoted = ", ".join(f'"{one}"' for one in given)
    return f"{feature.function}({quoted})" if given else feature.function


def features_of(rules: Iterable[RuleSpec]) -> frozenset[Feature]:
    """What those that are not off ask for."""
    return frozenset[Feature]().union(*(_features_of(rule) for rule in rules if rule.runs))


@lru_cache(_KNOWN_RULES)
def _features_of(rule: RuleSpec) -> frozenset[Feature]:
    return CheckedRule(rule).features


def is_kept(feature: Feature, by: Collection[Feature]) -> bool:
    """Whether what a feature is read from is kept where these are asked for.

    >>> is_kept(Feature("sum", 7 * 86400), [Feature("count", 30 * 86400)])
    True
    """
    if feature.function == "hours_since_last":
        return bool(by)
    return any(one.window >= feature.window and _source(one) == _source(feature) for one in by)


def _source(feature: Feature) -> tuple[str, int, str]:
    kind = "amounts" if feature.function in _AMOUNTS else feature.function
    return kind, tier_of(feature.window), feature.field


class KeptSince:
    """Follows the features of a rule set back through those before it.

    >>> hour, day = Feature("count", 3600), Feature("count", 86400)
    >>> kept = KeptSince((9, [hour, day]))
    >>> kept.follow((7, [hour])), kept.follow((3, [hour])), kept.follow((2, []))
    (True, True, False)
    >>> kept.since[hour], kept.since[day]
    (3, 9)
    """

    def __init__(self, newest: NamedFeatures) -> None:
        self.since = dict.fromkeys(newest[1], newest[0])
        """The decision since which each was kept without a break."""
        self.filled: dict[Feature, int] = {}
        """The decision by which one was filled from rows since then."""
        self._unbroken = [*self.since]

    def fill(self, by: NamedFeatures) -> None:
        """Take note that these were filled while the set was kept that was followed last."""
        for feature in [one for one in self._unbroken if is_kept(one, by[1])]:
            self._unbroken.remove(feature)
            self.filled[feature] = by[0]

    def follow(self, former: NamedFeatures) -> bool:
        """Go back to the set before; whether any feature is still unbroken."""
        self._unbroken = [one for one in self._unbroken if is_kept(one, former[1])]
        self.since |= dict.fromkeys(self._unbroken, former[0])
        return bool(self._unbroken)


def sets_of(seq: int, rules: Sequence[RuleSpec], off: Sequence[tuple[int, str]]) -> Iterator[NamedFeatures]:
    """What a rule set asked for, also once rules of it were off by these decisions; both newest first."""
    for at in range(len(off) + 1):
        gone = {name for _, name in off[at:]}
        yield off[at][0] if at < len(off) else seq, features_of(one for one in rules if one.name not in gone)
