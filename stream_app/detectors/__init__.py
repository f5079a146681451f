"""Detectors, one file or folder each: TXNWATCH_DETECTOR chooses, and one line here makes it known.

Others come from installed packages, by their entry points.
"""

from collections.abc import Iterable, Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

import msgspec

from infra.runtime.settings import SettingsError, SettingsGroup
from schemas.rule import Rule, Running
from schemas.rules.rule_set import RuleSpec
from schemas.scored import VERDICT_NAMES
from stream_app.detectors.installed import entry_points_of, load
from stream_app.scoring import Detector, Ensemble
from stream_app.scoring.rules.applied import NO_DATA, RuleData, Rules

DETECTORS = {
    "rolling_mean": "stream_app.detectors.rolling_mean:RollingMean",
    "odds": "stream_app.detectors.odds:Odds",
    "merchant_labels": "stream_app.detectors.merchant_labels:MerchantLabels",
}

SettingsOf = Mapping[str, Mapping[str, Any]]
"""Settings by field, of detectors by name."""


def known(running: Sequence[Detector[Any]] = ()) -> Iterable[type[Detector[Any]]]:
    """Every detector that comes with the program, and those that run."""
    built_in = {name: resolve_name(place) for name, place in DETECTORS.items()}
    return {**built_in, **{one.NAME: type(one) for one in running}}.values()


def verdict_names(running: Sequence[Detector[Any]] = ()) -> frozenset[str]:
    """What a verdict may say in `meta_data`: no producer's word counts there."""
    evidence = [name for detector in known(running) for name in detector.EVIDENCE.__struct_fields__]
    return VERDICT_NAMES.union(evidence)


def all_settings() -> list[type[SettingsGroup]]:
    """The settings of every detector that comes with the program."""
    return [*dict.fromkeys(detector.SETTINGS for detector in known())]


def names_in(text: str) -> list[str]:
    """The names in a list with commas."""
    return [name for one in text.split(",") if (name := one.strip())]


def is_known(name: str) -> bool:
    """Whether there is a detector of this name; an installed one is not loaded for that."""
    return name in DETECTORS or bool(entry_points_of(name))


def detector_class(name: str) -> type[Detector[Any]]:
    """The detector of this name.

    Raises:
        KeyError: There is none.
        SettingsError: An installed one cannot be used.
    """
    if name in DETECTORS:
        found: type[Detector[Any]] = resolve_name(DETECTORS[name])
        return found
    return load(name)


def detector_of(
    name: str, profile: msgspec.Struct | None = None, given: Mapping[str, Any] | None = None
) -> Detector[Any]:
    """The detector of this name, with settings as given or as the environment has them, and its profile.

    Raises:
        KeyError: There is none of this name.
        SettingsError: It cannot be used, or one of its settings.
    """
    detector = detector_class(name)
    if profile is not None and (detector.PROFILE is None or not isinstance(profile, detector.PROFILE)):
        raise SettingsError(f"detector {name}: {type(profile).__name__} is no profile of it")
    return detector(detector.SETTINGS.load(**(given or {})), profile)


def ensemble_of(
    detectors: str,
    shadow_detectors: str = "",
    untaught_statuses: str = "",
    profiles: Mapping[str, msgspec.Struct] | None = None,
    rules: Sequence[RuleSpec] = (),
    *,
    beside: RuleData = NO_DATA,
    settings: SettingsOf = {},  # noqa: B006 - never changed
) -> Ensemble:
    """The detectors of these lists with commas: those that decide, those that only watch; rules beside them.

    Raises:
        KeyError: There is none of a name.
        SettingsError: One cannot be used, or one of its settings.
    """
    given, names = profiles or {}, names_in(detectors) + names_in(shadow_detectors)
    if twice := {name for name in names if names.count(name) > 1}:
        raise SettingsError(f"detector {', '.join(twice)}: is to run twice")
    deciding, watching = (
        [detector_of(name, given.get(name), settings.get(name)) for name in names_in(names)]
        for names in (detectors, shadow_detectors)
    )
    try:
        at_work = Rules(rules, names, beside) if rules or beside.suppressions else None
    except KeyError as error:
        raise SettingsError(f"rules ask for the score of {error.args[0]}, which does not run") from None
    return Ensemble(deciding, watching, names_in(untaught_statuses), at_work)


def rule_of(runs: Detector[Any] | Ensemble) -> Rule:
    """What a worker answers of the rule that it runs."""
    ensemble = runs if isinstance(runs, Ensemble) else Ensemble([runs])
    deciding = ensemble.deciding
    return Rule(
        detector=",".join(one.NAME for one in deciding),
        version=max(one.VERSION for one in deciding),
        window=deciding[0].settings.window_size,
        settings=_settings(ensemble),
        sentence=" ".join([*(one.sentence() for one in deciding), *_said(ensemble.rules)]),
        lines=[line for one in deciding for line in one.lines()],
        words={one.NAME: one.WORDS for one in known(ensemble.all)},
        rule=ensemble.rule,
        deciding=[_running(one) for one in deciding],
        watching=[_running(one) for one in ensemble.watching],
    )


def _settings(ensemble: Ensemble) -> dict[str, Any]:
    """The settings of all that decide: each is a variable of its own, and some are of all."""
    dumped = [one.settings.model_dump(mode="json") for one in ensemble.deciding]
    untaught = [{"untaught_statuses": sorted(ensemble.untaught)}] if ensemble.untaught else []
    rules = [{"rules": ensemble.rules.hash}] if ensemble.rules and ensemble.rules.specs else []
    return {name: value for settings in dumped + untaught + rules for name, value in settings.items()}


def _said(rules: Rules | None) -> list[str]:
    """How many rules there are, in a sentence, where there are any."""
    return (
        [f"Beside that, rules flag, watch or allow: there are {len(rules.specs):,}."]
        if rules and rules.specs
        else []
    )


def _running(detector: Detector[Any]) -> Running:
    name, profiled = detector.NAME, detector.profile is not None
    return Running(name, detector.VERSION, detector.sentence(), detector.rule, has_profile=profiled)
