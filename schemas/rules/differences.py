"""What has changed from one rule set to another, in lines."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from schemas.rules.kept import feature_text, features_of, is_kept
from schemas.rules.rule_set import RuleSet, RuleSpec


def differences(old: RuleSet, new: RuleSet) -> list[str]:
    """A line for each rule that is new (+) or gone (-), for each key that has changed (~), and on features.

    >>> one, other = RuleSpec("large", "amount > 5"), RuleSpec("large", "amount > 6")
    >>> differences(RuleSet(rules=[one]), RuleSet("odds", rules=[other]))
    ['~ detector: "" -> "odds"', '~ rule "large": when: "amount > 5" -> "amount > 6"']
    """
    head, profiles = (
        _values("", _head(old), _head(new)),
        _values("", _flat(old.profiles), _flat(new.profiles)),
    )
    return [*head, *_rules(old, new), *profiles, *_features(old, new)]


def _head(rule_set: RuleSet) -> dict[str, Any]:
    return {"detector": rule_set.detector, "shadow_detectors": rule_set.shadow_detectors}


def _rules(old: RuleSet, new: RuleSet) -> Iterator[str]:
    before, after = ({rule.name: rule for rule in one.rules} for one in (old, new))
    yield from (f"- {_described(rule)}" for name, rule in before.items() if name not in after)
    for name, rule in after.items():
        if name in before:
            one, other = msgspec.structs.asdict(before[name]), msgspec.structs.asdict(rule)
            yield from _values(f'rule "{name}": ', one, other)
        else:
            yield f"+ {_described(rule)}"
    kept = [[name for name in one if name in before and name in after] for one in (before, after)]
    if kept[0] != kept[1]:
        yield "~ the order of the rules, in which a flag names its reasons"


def _features(old: RuleSet, new: RuleSet) -> Iterator[str]:
    """Those that begin to be kept."""
    before = features_of(old.rules)
    for feature in sorted(features_of(new.rules), key=feature_text):
        if not is_kept(feature, before):
            yield f"+ feature {feature_text(feature)}: sees everything from its decision on"


def _described(rule: RuleSpec) -> str:
    return f'rule "{rule.name}": {rule.action}, {rule.severity}, {rule.mode}: when {rule.when.strip()}'


def _values(of: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in [*old, *(name for name in new if name not in old)]:
        if old.get(name) != new.get(name):
            yield f"~ {of}{name}: {_shown(old, name)} -> {_shown(new, name)}"


def _shown(values: Mapping[str, Any], name: str) -> str:
    return msgspec.json.encode(values[name]).decode() if name in values else "none"


def _flat(profiles: Any, before: str = "") -> dict[str, Any]:
    """Values by their path, as `odds.currencies.EUR.mean`."""
    if not isinstance(profiles, Mapping):
        return {before: profiles}
    pairs = [(f"{before}.{name}" if before else name, value) for name, value in profiles.items()]
    return {path: one for name, value in pairs for path, one in _flat(value, name).items()}
