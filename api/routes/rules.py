"""What was decided: the rule set that holds, changed and rolled back, and the history of all decisions."""

import re
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
import msgspec
from aiohttp import hdrs, web

from api.reading.database import Database
from api.settings import Settings
from api.web.body import JSON, NO_JSON, TOML, read_body
from api.web.params import CURSOR, NoParameters, header, integer, query, text
from api.web.params import Kind as ParameterKind
from api.web.problems import ParameterError, Problem, Unavailable
from api.web.route import Route, json_response, next_page
from infra.decisions.deciding import decide
from infra.decisions.files import check_detectors
from infra.decisions.history import Applied, DecisionError, OutdatedError, Proposal, applied, before, find
from infra.decisions.rules_off import rules_off
from infra.decisions.since import FeatureSince, features_since
from infra.runtime.cli_errors import StopError
from infra.runtime.postgres import DatabaseError, reason
from infra.runtime.services import POSTGRES
from infra.runtime.settings import SettingsError
from schemas.access import Scope
from schemas.decision import LONGEST_WHO, LONGEST_WHY, RULES, Decision
from schemas.rules.rule_off import RuleOff
from schemas.rules.rule_set import Fault, RuleSet, RuleSetError, rule_set_of
from schemas.rules.toml import read_rule_set

T = TypeVar("T")

_TAG = re.compile(r'(?:W/)?"?([0-9]{1,18})"?', re.ASCII)
_NO_TAG = 'must be the ETag of GET /rules, such as "7"'
_LARGEST_SEQ = (1 << 63) - 1


def _tag(text: str) -> int:
    if (match := _TAG.fullmatch(text)) is None:
        raise ValueError(_NO_TAG)
    return int(match[1])


_ETAG = ParameterKind(_tag, {"type": "string", "pattern": '^(W/)?"?[0-9]{1,18}"?$', "examples": ['"7"']})
_SEEN = "The ETag of GET /rules, so that nobody's decision is overwritten unseen; required."


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoDecides:
    """Who decides, what for, and by which state of things."""

    if_match: int | None = header("If-Match", _ETAG, _SEEN)
    who: str = query(text(LONGEST_WHO, "ann"), "Who decides, for the history.", default="the API")
    why: str = query(text(LONGEST_WHY, "too many of them"), "What for, for the history.", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of the history."""

    limit: int = query(integer(1, 1000), "How many at the most.", default=100)
    cursor: str | None = query(CURSOR, "The cursor of the page before.", blank=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOfKind(Page):
    """A part of the history of one kind."""

    kind: str | None = query(text(64, RULES), "Only decisions of this kind.", blank=True)


class Holding(msgspec.Struct, frozen=True):
    """The rule set that was decided last, and how far each partition has come."""

    decision: Decision | None
    """None until something is decided: the workers' settings hold."""
    applied: Sequence[Applied]
    """The newest decision, of any kind, that each partition of each app has applied."""
    off: Sequence[RuleOff]
    """The rules of the set that are off, as they raised on a transaction."""
    features: Sequence[FeatureSince]
    """Since when each feature of the set has seen everything."""


class Made(msgspec.Struct, frozen=True):
    """A decision that was made."""

    decision: Decision
    published: bool
    """Whether it is on the control topic by now."""
    reason: str = ""
    """Why it is not; it is tried again every second."""


class DecisionsPage(msgspec.Struct, frozen=True):
    """Decisions, newest first; `cursor` is empty only when the page is."""

    decisions: Sequence[Decision]
    cursor: str


class RollBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A former decision whose rule set is to hold again."""

    seq: int


def _cursor_is_ours(_: object, values: Mapping[str, Any]) -> Iterator[ParameterError]:
    cursor = values.get("cursor") or "0"
    if not cursor.isdecimal() or int(cursor) > _LARGEST_SEQ:
        yield ParameterError("cursor", "is not one that this service gave out")


@dataclass(frozen=True)
class RuleRoutes:
    """`/rules…` and `/decisions`."""

    database: Database
    settings: Settings

    @Route("/rules", "rules_show", body=Holding, depends=True)
    async def show(self, _request: web.Request, _: NoParameters) -> web.Response:
        """The rule set that was decided last, and where it holds already."""
        decision = await self.database.asked(lambda one: find(one, RULES))
        topic = self.settings.transactions_topic
        progress = await self.database.asked(lambda one: applied(one, topic))
        seq = 0 if decision is None else decision.seq
        off = await self.database.asked(lambda one: rules_off(one, seq))
        features = await self.database.asked(lambda one: features_since(one, topic, seq))
        return _tagged(Holding(decision, progress, off, [*features.values()]), seq)

    @Route(
        "/rules",
        "rules_decide",
        method="PUT",
        needs=Scope.DECIDE,
        parameters=WhoDecides,
        takes={JSON: dict[str, Any], TOML: str},
        body=Made,
        depends=True,
    )
    async def put(self, request: web.Request, query: WhoDecides) -> web.Response:
        """Have this rule set hold from now on, in all workers, while they run.

        It is a decisions file, as TOML or as the same in JSON.
        """
        rule_set = _checked(await read_body(request, JSON, TOML), request.content_type)
        return await self._decide(rule_set.plain(), query)

    @Route(
        "/rules/rollback",
        "rules_roll_back",
        method="POST",
        needs=Scope.DECIDE,
        parameters=WhoDecides,
        takes={JSON: RollBack},
        body=Made,
        depends=True,
        finds=True,
    )
    async def roll_back(self, request: web.Request, query: WhoDecides) -> web.Response:
        """Have the rule set of a former decision hold again, as a decision of its own."""
        try:
            seq = msgspec.json.decode(await read_body(request, JSON), type=RollBack).seq
        except NO_JSON as error:
            raise _refused([ParameterError("body", str(error))]) from None
        former = await self.database.asked(lambda one: find(one, RULES, min(max(seq, 0), _LARGEST_SEQ - 1)))
        if former is None:
            raise Problem(404, f"There is no decision {seq} on the rule set.")
        return await self._decide(former.body, query)

    @Route(
        "/rules/history",
        "rules_history",
        parameters=Page,
        check=_cursor_is_ours,
        body=DecisionsPage,
        pages=True,
        depends=True,
    )
    async def history(self, request: web.Request, query: Page) -> web.Response:
        """The decisions on the rule set, newest first."""
        return await self._page(request, query, RULES)

    @Route(
        "/decisions",
        "decisions_list",
        parameters=PageOfKind,
        check=_cursor_is_ours,
        body=DecisionsPage,
        pages=True,
        depends=True,
    )
    async def decisions(self, request: web.Request, query: PageOfKind) -> web.Response:
        """All that was decided, newest first: who, when, what and why."""
        return await self._page(request, query, query.kind)

    async def _page(self, request: web.Request, query: Page, kind: str | None) -> web.Response:
        after = int(query.cursor) if query.cursor else None
        asked = self.database.asked(lambda one: before(one, after, kind=kind, most=query.limit))
        decisions = await asked
        cursor = str(decisions[-1].seq) if decisions else ""
        more = cursor if len(decisions) == query.limit else ""
        return json_response(DecisionsPage(decisions, cursor), next_page(request, more))

    async def _decide(self, body: dict[str, Any], query: WhoDecides) -> web.Response:
        if query.if_match is None:
            raise Problem(428, f"If-Match is required. {_SEEN}")
        settings, proposal = self.settings, Proposal(RULES, body, query.who, query.why)
        url, seconds = settings.postgres.get_secret_value(), settings.dependency_seconds
        made = await answered(
            decide(settings, url, proposal, expected=query.if_match, within=seconds), "rule set"
        )
        return _tagged(Made(made.decision, not made.unpublished, made.unpublished), made.decision.seq)


async def answered(deciding: Awaitable[T], what: str = "decision") -> T:
    """What became of a decision, or the problem that keeps `what` was to be decided from being so."""
    try:
        return await deciding
    except OutdatedError as error:
        raise Problem(412, f"Somebody has decided since: {error}.") from None
    except DecisionError as error:
        errors = [ParameterError("body", str(error))]
        raise Problem(422, f"The {what} is not accepted, and nothing has changed.", errors=errors) from None
    except StopError as error:
        raise Unavailable(f"{error}.") from None
    except POSTGRES.errors as error:
        said = str(error) if isinstance(error, DatabaseError) else reason(error)
        raise Unavailable(f"Postgres: {said or 'it does not answer'}.") from error


def _checked(data: bytes, media: str) -> RuleSet:
    try:
        rule_set = read_rule_set(_text(data), "body") if media == TOML else rule_set_of(_json(data))
        check_detectors(rule_set)
    except RuleSetError as error:
        raise _refused([_error(fault) for fault in error.faults]) from None
    except (SettingsError, asyncpg.DataError) as error:
        raise _refused([ParameterError("body", str(error))]) from None
    return rule_set


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except NO_JSON as error:
        raise _refused([ParameterError("body", str(error))]) from None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _refused([ParameterError("body", f"not UTF-8 at byte {error.start}")]) from None


def _error(fault: Fault) -> ParameterError:
    """A fault, with its place as a path through the document."""
    place = f"rules[{fault.rule}]" if fault.rule >= 0 else ""
    path = ".".join(part for part in (place, fault.key) if part)
    at = f" at {fault.at + 1}" if fault.at >= 0 else ""
    return ParameterError(f"{path or 'body'}{at}", fault.sentence)


def _refused(errors: Sequence[ParameterError]) -> Problem:
    return Problem(422, "The rule set is not accepted, and nothing has changed.", errors=errors)


def _tagged(value: Any, seq: int) -> web.Response:
    return json_response(value, {hdrs.ETAG: f'"{seq}"'})
