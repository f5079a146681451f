"""A rule set: what decides beside detectors, as a file or JSON says it, and what is wrong with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Any, Literal

import msgspec

from schemas.rules.checking import Checked, checked_condition
from schemas.rules.features import Feature, most_bytes
from schemas.rules.language import MOST_COST_OF_ALL, MOST_STATE
from schemas.rules.messages import pieces_of
from schemas.rules.tokens import LONGEST, ExpressionError

MOST_RULES = 1_000
Action = Literal["flag", "watch", "allow"]
Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: Sequence[Severity] = ("low", "medium", "high", "critical")
"""From the least on."""

_MODE = r"^(live|shadow|off|(100|[1-9]?[0-9](\.[0-9]{1,2})?)%)$"
_NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"


class RuleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule as it is written down."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=_NO_CONTROLS)]
    when: Annotated[str, msgspec.Meta(max_length=LONGEST)]
    """The condition."""
    message: Annotated[str, msgspec.Meta(max_length=LONGEST, pattern=_NO_CONTROLS)] = ""
    """What is said where it holds, with expressions in braces; empty: its name."""
    action: Action = "flag"
    severity: Severity = "medium"
    mode: Annotated[str, msgspec.Meta(pattern=_MODE)] = "live"
    """`live`, `shadow`, `off`, or for which share of users it is live, as `10%`."""

    @property
    def runs(self) -> bool:
        """Whether it is looked at."""
        return self.mode not in {"off", "0%"}


class RuleSet(msgspec.Struct, frozen=True):
    """All that decides, as one file says it. `rules` were checked."""

    detector: str = ""
    """Detectors that decide, separated by commas; empty: what the settings say."""
    shadow_detectors: str = ""
    """Those that only watch; empty: what the settings say."""
    rules: Sequence[RuleSpec] = ()
    profiles: Mapping[str, Any] = {}
    """What history taught each detector, by its name, as the file has it."""

    def canonical(self) -> bytes:
        """Its one form as JSON: two sets of the same form decide alike."""
        return msgspec.json.encode(self.plain(), order="deterministic")

    def plain(self) -> dict[str, Any]:
        """As a file or JSON has it, without what is not said."""
        given: dict[str, Any] = {name: value for name, value in self._head() if value}
        if self.rules:
            given["rules"] = [_said(rule) for rule in self.rules]
        return {**given, **msgspec.to_builtins(self.profiles)}

    def _head(self) -> list[tuple[str, str]]:
        return [("detector", self.detector), ("shadow_detectors", self.shadow_detectors)]

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits that stand for it."""
        return sha256(self.canonical()).hexdigest()[:8]


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a rule set, and where."""

    sentence: str
    rule: int = -1
    """The how manyeth rule it is in, from 0 on; -1: in none."""
    name: str = ""
    """The rule's."""
    key: str = ""
    """The rule's key that is wrong."""
    at: int = -1
    """At which character of its text; -1: the whole of it."""


class RuleSetError(ValueError):
    """A rule set cannot be used; `faults` has the first of each rule, and `str()` a line for each."""

    def __init__(self, faults: Sequence[Fault], said: Callable[[Fault], str] | None = None) -> None:
        self.faults = faults
        super().__init__("\n".join(map(said or said_plainly, faults)))


def said_plainly(fault: Fault) -> str:
    """A fault in a line, with its place in the expression."""
    named = f'rule "{fault.name}"' if fault.name else f"rule {fault.rule + 1}" if fault.rule >= 0 else ""
    place = f" at {fault.at + 1}" if fault.at >= 0 else ""
    return ": ".join(part for part in (named, f"{fault.key}{place}", fault.sentence) if part)


def rule_set_of(table: Any, said: Callable[[Fault], str] | None = None) -> RuleSet:
    """The rule set that a decoded file or JSON document holds.

    Raises:
        RuleSetError: It cannot be used; `said` puts its faults into words.
    """
    try:
        return _rule_set(table)
    except RuleSetError as error:
        raise RuleSetError(error.faults, said) from None


def _rule_set(table: Any) -> RuleSet:
    if not isinstance(table, dict):
        raise RuleSetError([Fault("not a table with the keys detector, rules, …")])
    profiles = dict(table)
    head = {name: profiles.pop(name) for name in ("detector", "shadow_detectors") if name in profiles}
    for name, value in head.items():
        if not isinstance(value, str):
            raise RuleSetError([Fault(f'not a text such as {name} = "odds"', key=name)])
    rules = _rules(profiles.pop("rules", []))
    return RuleSet(**head, rules=rules, profiles=profiles)


def _rules(tables: Any) -> tuple[RuleSpec, ...]:
    if not isinstance(tables, list):
        raise RuleSetError([Fault("rules are written under [[rules]]", key="rules")])
    if len(tables) > MOST_RULES:
        raise RuleSetError([Fault(f"there are {len(tables):,}, of {MOST_RULES:,} at the most", key="rules")])
    known: dict[int, CheckedRule] = {}
    faults: list[Fault] = []
    for position, table in enumerate(tables):
        try:
            known[position] = CheckedRule(_spec(table))
        except _RuleError as error:
            faults.append(Fault(error.sentence, position, _name_in(table), error.key, error.at))
    faults += _of_all(known)
    if faults:
        raise RuleSetError(faults)
    return tuple(rule.spec for rule in known.values())


class _RuleError(Exception):
    """What is wrong with one rule."""

    def __init__(self, sentence: str, key: str = "", at: int = -1) -> None:
        super().__init__(sentence)
        self.sentence, self.key, self.at = sentence, key, at


class CheckedRule:
    """A rule with its condition and message taken apart."""

    def __init__(self, spec: RuleSpec) -> None:
        self.spec = spec
        self.when: Checked = _within("when", lambda: checked_condition(spec.when))
        self.message = _within("message", lambda: tuple(pieces_of(spec.message)))

    @property
    def expressions(self) -> list[Checked]:
        """The condition, and those of the message."""
        return [self.when, *(piece for piece in self.message if isinstance(piece, Checked))]

    @cached_property
    def features(self) -> frozenset[Feature]:
        """Of all of them."""
        return frozenset[Feature]().union(*(one.features for one in self.expressions))


def _within(key: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ExpressionError as error:
        raise _RuleError(error.sentence, key, error.at) from None


def _spec(table: Any) -> RuleSpec:
    try:
        return msgspec.convert(table, RuleSpec)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        key = place.rpartition("$.")[2].rstrip("`")
        if key == "mode":
            what = 'live, shadow, off, or a share of users such as "10%"'
        raise _RuleError(what, key) from None


def _name_in(table: Any) -> str:
    name = table.get("name") if isinstance(table, dict) else ""
    return name[:64] if isinstance(name, str) else ""


def _of_all(rules: Mapping[int, CheckedRule]) -> Iterator[Fault]:
    """What is wrong with rules that are right by themselves."""
    seen: set[str] = set()
    for position, rule in rules.items():
        if (name := rule.spec.name) in seen:
            yield Fault("there is one of this name already: names are unique", position, name, "name")
        seen.add(name)
    running = [rule for rule in rules.values() if rule.spec.runs]
    if (cost := sum(rule.when.cost for rule in running)) > MOST_COST_OF_ALL:
        yield Fault(f"cost {cost:,} together, of {MOST_COST_OF_ALL:,} at the most", key="rules")
    features = frozenset[Feature]().union(*(rule.features for rule in running))
    if (size := most_bytes(features)) > MOST_STATE:
        said = (
            f"features need up to {size:,} bytes of each user, of {MOST_STATE:,} at the most: take some off"
        )
        yield Fault(said, key="rules")


def _said(rule: RuleSpec) -> dict[str, str]:
    default = RuleSpec("-", "-")
    given = msgspec.structs.asdict(rule)
    return {name: value for name, value in given.items() if value != getattr(default, name)}
