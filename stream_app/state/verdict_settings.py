"""The settings of a worker that verdicts depend on, kept so that verdicts can be given by them again."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from infra.runtime.settings import MessageSettings, SettingsError, SettingsGroup
from schemas.rules.rule_set import RuleSet, rule_set_of
from stream_app.detectors import known
from stream_app.detectors.decisions import Decisions, decisions_in
from stream_app.scoring import Detector, Ensemble
from stream_app.settings import RuleSettings, Settings

_FIELDS = sorted({*RuleSettings.model_fields, *MessageSettings.model_fields} - {"decisions"})


class VerdictSettings(msgspec.Struct, frozen=True):
    """What holds where nothing was decided, and what a rule set leaves out."""

    rule: str
    """The rule of it, by which it is seen whether it can still be made."""
    settings: Mapping[str, Any]
    """The worker's, by field."""
    detectors: Mapping[str, Mapping[str, Any]]
    """Each detector's, by its name and field."""
    rule_set: Mapping[str, Any]
    """The decisions file, and what the detectors are called where it does not say."""

    @classmethod
    def of(cls, settings: Settings, decisions: Decisions, ensemble: Ensemble) -> Self:
        """Those of a worker that runs these."""
        running = {one.NAME: one.settings for one in ensemble.all}
        every = {one.NAME: running.get(one.NAME) or _loaded(one) for one in known(ensemble.all)}
        head = decisions.detector, decisions.shadow_detectors
        return cls(
            ensemble.rule,
            settings.model_dump(mode="json", include={*_FIELDS}),
            {name: its.model_dump(mode="json") for name, its in every.items() if its},
            RuleSet(*head, decisions.rules, decisions.profiles).plain(),
        )

    @property
    def decisions(self) -> Decisions:
        """The rule set.

        Raises:
            SettingsError: A detector that it names is not there.
            RuleSetError: This program does not know what it says.
        """
        return decisions_in(rule_set_of(self.rule_set))

    def within(self, settings: Settings) -> Settings:
        """Other settings with these."""
        return settings.model_copy(update=dict(self.settings))

    def encode(self) -> str:
        """As JSON."""
        return msgspec.json.encode(self, order="deterministic").decode()


def _loaded(detector: type[Detector[Any]]) -> SettingsGroup | None:
    """Its settings; none where they cannot be used: it does not run, nor can a decision have it run."""
    settings: type[SettingsGroup] = detector.SETTINGS
    try:
        return settings.load()
    except SettingsError:
        return None
