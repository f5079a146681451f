"""What decides about transactions, made of a rule set that was decided, or of the settings before one was."""

import dataclasses
import logging
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import NamedTuple
from weakref import WeakValueDictionary

from msgspec.structs import replace

from infra.runtime.settings import SettingsError
from schemas.decision import Decision
from schemas.rule import Rule
from schemas.rules.rule_set import CheckedRule, RuleSetError, rule_set_of
from schemas.transaction import Decoder
from stream_app.detectors import SettingsOf, ensemble_of, rule_of, verdict_names
from stream_app.detectors.decisions import Decisions, decisions_in, decisions_of
from stream_app.pipeline import Pipeline
from stream_app.scoring import Ensemble, Scorer
from stream_app.scoring.rules.applied import NO_DATA, RuleData
from stream_app.settings import Settings
from stream_app.state.decided.exceptions import OFF_KEY, SUPPRESSIONS_KEY, running, suppressions_in
from stream_app.state.decided.lists import LISTS_KEY, Kept, ListIndex, ListPart, Lists
from stream_app.state.decided.log import RULES_KEY, UnappliedError
from stream_app.state.verdict_settings import VerdictSettings

log = logging.getLogger(__name__)

DECISIVE = frozenset({RULES_KEY, LISTS_KEY, SUPPRESSIONS_KEY, OFF_KEY})
"""Under these keys is what decides."""
_ListParts = tuple[tuple[str, tuple[ListPart, ...]], ...]
_Key = tuple[bytes | None, bytes | None, bytes | None, _ListParts]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Deciding:
    """The parts of a pipeline that depend on what decides; partitions share them."""

    ensemble: Ensemble
    scorer: Scorer
    decoder: Decoder
    rule: Rule

    def within(self, pipeline: Pipeline) -> Pipeline:
        """The same pipeline, with this."""
        return dataclasses.replace(
            pipeline, decoder=self.decoder, scorer=self.scorer, decision=self.rule.decision
        )


class Deciders:
    """Makes what decides, once for all partitions; by settings that were `held` in place of those that are.

    Raises:
        SettingsError: What the settings or the decisions file name cannot be used.
    """

    def __init__(
        self, settings: Settings, held: VerdictSettings | None = None, most_bytes: int | None = None
    ) -> None:
        settings = held.within(settings) if held else settings
        more = {"max_message_bytes": most_bytes} if most_bytes else {}
        self._settings, self._lists = settings.model_copy(update=more), Lists()
        self._of_detectors: SettingsOf = held.detectors if held else {}
        # What no partition uses any longer goes, and with it lists of 50 MB.
        self._made = WeakValueDictionary[_Key, Deciding]()
        given = settings.decisions, settings.detector, settings.model_fields_set
        of_settings = held.decisions if held else decisions_of(*given)
        self._of_settings = DecidedRules(None, of_settings)
        self.by_settings = self._deciding(of_settings)
        self.held = VerdictSettings.of(self._settings, of_settings, self.by_settings.ensemble)
        """What of the settings verdicts depend on."""
        self._of_detectors = self.held.detectors

    @property
    def window_size(self) -> int:
        """How many amounts a window has."""
        return self._settings.window_size

    def of(self, kept: Kept) -> Deciding:
        """What decides by what a partition has of decisions; by the settings where it has none.

        Raises:
            UnappliedError: It does not fit this worker.
        """
        note = kept(RULES_KEY)
        decided = _decided(note) if note else self._of_settings
        index = ListIndex.decode(kept(LISTS_KEY))
        lists = tuple((name, held) for name in decided.lists if (held := index.held(name)))
        suppressed, off = kept(SUPPRESSIONS_KEY), kept(OFF_KEY)
        if not (note or suppressed or off or lists):
            return self.by_settings
        deciding = self._made.get(key := (note, suppressed, off, lists))
        if deciding is None:
            deciding = self._made[key] = self._make(decided, lists, kept)
        return deciding

    def _make(self, decided: "DecidedRules", lists: _ListParts, kept: Kept) -> Deciding:
        decision = decided.decision
        found = {name: self._lists.of(parts, kept) for name, parts in lists}
        beside = RuleData(found, suppressions_in(kept(SUPPRESSIONS_KEY)))
        seq = decision.seq if decision else 0
        rules = running(decided.decisions.rules, kept(OFF_KEY), seq)
        decisions = replace(decided.decisions, rules=rules)
        if decision is None:
            return self._deciding(decisions, beside=beside)
        try:
            made = self._deciding(decisions, seq, beside)
        except SettingsError as error:
            raise _unfit(decision, error) from None
        rule = made.rule
        log.info(
            "decision %d by %s decides: %s, rule %s", decision.seq, decision.who, rule.detector, rule.rule
        )
        return made

    def _deciding(self, decisions: Decisions, seq: int = 0, beside: RuleData = NO_DATA) -> Deciding:
        settings = self._settings
        others = decisions.shadow_detectors or settings.shadow_detectors, settings.untaught_statuses
        of_set = decisions.profiles, decisions.rules
        names, by = decisions.detector or settings.detector, self._of_detectors
        ensemble = ensemble_of(names, *others, *of_set, beside=beside, settings=by)
        by_currency, ahead = settings.window_by == "currency", timedelta(hours=settings.max_ahead_hours)
        return Deciding(
            ensemble,
            Scorer(ensemble, settings.window_size, by_currency=by_currency, clock=perf_counter, decision=seq),
            Decoder(settings.max_message_bytes, ahead, verdict_names(ensemble.all)),
            replace(rule_of(ensemble), decision=seq),
        )


class DecidedRules(NamedTuple):
    """A rule set that was decided, or that of the settings."""

    decision: Decision | None
    decisions: Decisions

    @property
    def lists(self) -> list[str]:
        """The lists that its rules ask for."""
        rules = [CheckedRule(rule) for rule in self.decisions.rules if rule.runs]
        return sorted({name for rule in rules for one in rule.expressions for name in one.lists})


def _decided(note: bytes) -> DecidedRules:
    decision = Decision.decode(note)
    try:
        return DecidedRules(decision, decisions_in(rule_set_of(decision.body)))
    except (RuleSetError, SettingsError) as error:
        raise _unfit(decision, error) from None


def _unfit(decision: Decision, error: Exception) -> UnappliedError:
    return UnappliedError(
        f"decision {decision.seq}, the rule set of {decision.who}, does not fit this worker: "
        f"{error!s}. Mend what is missing here, or decide another one: the last that waits counts"
    )
