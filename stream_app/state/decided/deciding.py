"""What decides about transactions, made of a rule set that was decided, or of the settings before one was."""

import dataclasses
import logging
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter

from msgspec.structs import replace

from infra.runtime.settings import SettingsError
from schemas.decision import Decision
from schemas.rule import Rule
from schemas.rules.rule_set import RuleSetError, rule_set_of
from schemas.transaction import Decoder
from stream_app.detectors import ensemble_of, rule_of, verdict_names
from stream_app.detectors.decisions import Decisions, decisions_in, decisions_of
from stream_app.pipeline import Pipeline
from stream_app.scoring import Ensemble, Scorer
from stream_app.settings import Settings
from stream_app.state.decided.log import UnappliedError

log = logging.getLogger(__name__)

# Partitions change over one after the other, so two are in use at a time; a few more cost nothing.
_KEPT = 8


@dataclass(frozen=True, slots=True)
class Deciding:
    """The parts of a pipeline that depend on what decides; partitions share them."""

    ensemble: Ensemble
    scorer: Scorer
    decoder: Decoder
    rule: Rule

    def within(self, pipeline: Pipeline) -> Pipeline:
        """The same pipeline, with this."""
        return dataclasses.replace(pipeline, decoder=self.decoder, scorer=self.scorer)


class Deciders:
    """Makes what decides, once for all partitions.

    Raises:
        SettingsError: What the settings or the decisions file name cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: dict[bytes, Deciding] = {}
        of_settings = decisions_of(settings.decisions, settings.detector, settings.model_fields_set)
        self.by_settings = self._deciding(of_settings)

    def of(self, note: bytes | None) -> Deciding:
        """What decides by this decision on the rule set; by the settings where there is none.

        Raises:
            UnappliedError: It does not fit this worker.
        """
        if note is None:
            return self.by_settings
        if note not in self._made:
            while len(self._made) >= _KEPT:
                del self._made[next(iter(self._made))]
            self._made[note] = self._decided(Decision.decode(note))
        return self._made[note]

    def _decided(self, decision: Decision) -> Deciding:
        try:
            made = self._deciding(decisions_in(rule_set_of(decision.body)), decision.seq)
        except (RuleSetError, SettingsError) as error:
            raise UnappliedError(
                f"decision {decision.seq}, the rule set of {decision.who}, does not fit this worker: "
                f"{error!s}. Mend what is missing here, or decide another one: the last that waits counts"
            ) from None
        rule = made.rule
        log.info(
            "decision %d by %s decides: %s, rule %s", decision.seq, decision.who, rule.detector, rule.rule
        )
        return made

    def _deciding(self, decisions: Decisions, seq: int = 0) -> Deciding:
        settings = self._settings
        others = decisions.shadow_detectors or settings.shadow_detectors, settings.untaught_statuses
        of_set = decisions.profiles, decisions.rules
        ensemble = ensemble_of(decisions.detector or settings.detector, *others, *of_set)
        by_currency, ahead = settings.window_by == "currency", timedelta(hours=settings.max_ahead_hours)
        return Deciding(
            ensemble,
            Scorer(ensemble, settings.window_size, by_currency=by_currency, clock=perf_counter),
            Decoder(settings.max_message_bytes, ahead, verdict_names(ensemble.all)),
            replace(rule_of(ensemble), decision=seq),
        )
