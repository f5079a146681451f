"""Detectors, a file or a folder each: TXNWATCH_DETECTOR chooses, and one line here makes it known."""

from collections.abc import Iterable
from pkgutil import resolve_name
from typing import Any

from infra.runtime.settings import SettingsGroup
from schemas.rule import Rule
from schemas.scored import VERDICT_NAMES
from stream_app.scoring import Detector

DETECTORS = {
    "rolling_mean": "stream_app.detectors.rolling_mean:RollingMean",
    "odds": "stream_app.detectors.odds:Odds",
}


def known() -> Iterable[type[Detector[Any]]]:
    """Every detector there is."""
    return map(resolve_name, DETECTORS.values())


def verdict_names() -> frozenset[str]:
    """What a verdict may say in `meta_data`: no producer's word counts there."""
    evidence = [name for detector in known() for name in detector.EVIDENCE.__struct_fields__]
    return VERDICT_NAMES.union(evidence)


def all_settings() -> list[type[SettingsGroup]]:
    """The settings of every detector."""
    return [detector.SETTINGS for detector in known()]


def detector_of(name: str) -> Detector[Any]:
    """The detector of this name, with its settings as the environment has them.

    Raises:
        KeyError: There is none of this name.
        SettingsError: One of its settings cannot be used.
    """
    detector: type[Detector[Any]] = resolve_name(DETECTORS[name])
    return detector(detector.SETTINGS.load())


def rule_of(detector: Detector[Any]) -> Rule:
    """What a worker answers of the rule that it runs."""
    return Rule(
        detector=detector.NAME,
        version=detector.VERSION,
        window=detector.settings.window_size,
        settings=detector.settings.model_dump(mode="json"),
        sentence=detector.sentence(),
        lines=detector.lines(),
        words={one.NAME: one.WORDS for one in known()},
        rule=detector.rule,
    )
