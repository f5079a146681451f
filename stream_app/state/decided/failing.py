"""Rules that raise: the log says so, and the decision is asked for by which they are off everywhere."""

import asyncio
import logging
from collections.abc import Mapping

import asyncpg

from infra.decisions.rules_off import turn_off
from infra.runtime.cli_errors import StopError
from infra.runtime.retry import in_a_line
from infra.runtime.services import POSTGRES
from schemas.masking import without_data
from schemas.rules.rule_off import RuleOff
from stream_app.settings import Settings

log = logging.getLogger(__name__)

_LONGEST_ERROR = 500
_RAISED = 'rule "%s" of decision %s raised and did not fire: %s. It is to be off'
_NOT_YET = 'rule "%s" cannot be turned off yet: %s'


class FailingRules:
    """Asks once for each rule of a rule set; again where nobody could be asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asked: dict[tuple[int, str], asyncio.Task[None] | None] = {}
        self._said: set[tuple[str, ...]] = set()

    def look(self, failures: Mapping[str, Exception], rule_set: int) -> None:
        """See to rules that raised, with what each raised last."""
        for rule, error in failures.items():
            if (rule_set, rule) not in self._asked:
                text = f"{type(error).__name__}: {error}".replace("\0", "")[:_LONGEST_ERROR]
                off = RuleOff(rule, rule_set, text)
                self._say(_RAISED, rule, str(rule_set), without_data(text))
                self._asked[rule_set, rule] = self._asking(off)

    def _asking(self, off: RuleOff) -> asyncio.Task[None] | None:
        """What asks; nothing where there is no database to decide in."""
        return asyncio.create_task(self._ask(off)) if self._settings.has_sink("postgres") else None

    async def _ask(self, off: RuleOff) -> None:
        settings = self._settings
        try:
            made = await turn_off(settings, settings.postgres.get_secret_value(), off, settings.app_id)
        except (StopError, asyncpg.PostgresError, *POSTGRES.errors) as error:
            self._say(_NOT_YET, off.rule, in_a_line(error))
            del self._asked[off.rule_set, off.rule]
        else:
            if made is not None:
                log.error('rule "%s" is off by decision %d', off.rule, made.decision.seq)

    def _say(self, *words: str) -> None:
        """Once: while Postgres is away, each batch has the rule raise again."""
        if words not in self._said:
            self._said.add(words)
            log.error(*words)
