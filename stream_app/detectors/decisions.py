"""What a decisions file says of detectors: which decide, and what history taught each."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from infra.decisions.files import read_file
from infra.runtime.settings import SettingsError
from schemas.rules.rule_set import CheckedRule, RuleSet, RuleSpec
from stream_app.detectors import DETECTORS, detector_class, is_known, names_in
from stream_app.scoring import Detector


class Decisions(msgspec.Struct, frozen=True):
    """A rule set with its profiles as the detectors have them."""

    detector: str = ""
    """What decides, as TXNWATCH_DETECTOR; empty: what that says."""
    profiles: Mapping[str, msgspec.Struct] = {}
    """By the detector's name."""
    rules: Sequence[RuleSpec] = ()
    """What decides beside the detectors."""
    shadow_detectors: str = ""
    """What only watches, as TXNWATCH_SHADOW_DETECTORS; empty: what that says."""


def read_decisions(path: Path) -> Decisions:
    """Read and check a file.

    Raises:
        SettingsError: It cannot be read or used; the message names file, table and key.
    """
    rule_set = read_file(path)
    try:
        return decisions_in(rule_set)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}") from None


def check_rule_set(rule_set: RuleSet) -> None:
    """See that the detectors are known, and the profiles theirs.

    Raises:
        SettingsError: They are not.
    """
    decisions_in(rule_set)


def decisions_in(rule_set: RuleSet) -> Decisions:
    """A rule set whose detectors are known, and whose profiles are theirs.

    Raises:
        SettingsError: They are not; the message names table and key.
    """
    for place in ("detector", "shadow_detectors"):
        for name in names_in(getattr(rule_set, place)):
            _known(place, name)
    for rule in map(CheckedRule, rule_set.rules):
        for name in {name for one in rule.expressions for name in one.detectors}:
            _known(f'rule "{rule.spec.name}": score("{name}")', name)
    profiles = {name: _profile(name, table) for name, table in rule_set.profiles.items()}
    return Decisions(rule_set.detector, profiles, rule_set.rules, rule_set.shadow_detectors)


def decisions_of(file: str, detector: str, given: Collection[str]) -> Decisions:
    """What the settings `decisions` and `detector` say together; `given` names those that are set.

    Raises:
        SettingsError: They contradict each other, or the file cannot be used.
    """
    decisions = read_decisions(Path(file)) if file else Decisions()
    chosen = decisions.detector or detector
    if "detector" in given and names_in(chosen) != names_in(detector):
        raise SettingsError(f"TXNWATCH_DETECTOR: the file of TXNWATCH_DECISIONS has {chosen} instead")
    return msgspec.structs.replace(decisions, detector=chosen)


def write_decisions(path: Path, decisions: Decisions) -> None:
    """Write what `read_decisions` reads.

    Raises:
        OSError: The file cannot be written.
    """
    tables = {
        name: _without_none(msgspec.to_builtins(profile)) for name, profile in decisions.profiles.items()
    }
    head = RuleSet(decisions.detector, decisions.shadow_detectors).plain()
    rules = RuleSet(rules=decisions.rules).plain().get("rules", [])
    texts = [
        tomli_w.dumps({"detector": "", **head}),
        *(f"[[rules]]\n{tomli_w.dumps(rule)}" for rule in rules),
        tomli_w.dumps(tables),
    ]
    path.write_text("\n".join(filter(None, texts)), encoding="utf-8")


def _profile(name: str, table: Any) -> msgspec.Struct:
    profile = _known(name, name).PROFILE
    if profile is None:
        raise SettingsError(f"[{name}]: {name} has no profile")
    wrong = _wrong(table, profile)
    if wrong is None:
        return msgspec.convert(table, profile)
    what, place = wrong
    field, any_key, rest = place.partition("[...]")
    if any_key:  # msgspec does not say which
        named = next(
            key for key, one in table[field].items() if _wrong({**table, field: {key: one}}, profile)
        )
        place = f"{field}.{named}{rest}"
    raise SettingsError(f"[{name}]{place and f' {place}'}: {what}")


def _wrong(table: Any, profile: type[msgspec.Struct]) -> tuple[str, str] | None:
    """What keeps a table from being a profile, and where; None: nothing."""
    try:
        msgspec.convert(table, profile)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        return what, place.rpartition("$")[2].rstrip("`").lstrip(".")
    return None


def _known(place: str, name: str) -> type[Detector[Any]]:
    if not is_known(name):
        raise SettingsError(f"{place}: there is no detector {name}; there is {', '.join(DETECTORS)}")
    return detector_class(name)


def _without_none(value: Any) -> Any:
    """TOML has no null: what is not known is left out."""
    if not isinstance(value, dict):
        return value
    return {key: _without_none(one) for key, one in value.items() if one is not None}
