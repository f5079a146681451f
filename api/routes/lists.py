"""Lists that rules look into, and suppressions: looked at and decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import msgspec
from aiohttp import web

from api.reading.database import Database
from api.routes.rules import answered
from api.settings import Settings
from api.web.body import JSON, NO_JSON, read_body
from api.web.params import NoParameters, integer, path, query, text
from api.web.problems import ParameterError, Problem
from api.web.route import Route, json_response
from infra.decisions.lists import change_list, proposals, read_list
from infra.decisions.suppressions import Suppressed, holding, suppress, suppression_of
from schemas.access import Scope
from schemas.decision import LONGEST_WHO, LONGEST_WHY
from schemas.lists import LONGEST_ENTRY, LONGEST_NAME, Change
from schemas.suppressions import Suppression

_NAME = text(LONGEST_NAME, "blocked")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """A part of a list."""

    name: str = path(_NAME, "The list.")
    limit: int = query(integer(1, 10_000), "How many at the most.", default=1000)
    after: str = query(text(LONGEST_ENTRY, "kiosk-7"), "Only entries after this one.", default="", blank=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoSuppresses:
    """Who decides, and what for."""

    who: str = query(text(LONGEST_WHO, "ann"), "Who decides, for the history.", default="the API")
    why: str = query(text(LONGEST_WHY, "on a trip"), "What for, for the history.", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoChangesList(WhoSuppresses):
    """The list, and who changes it."""

    name: str = path(_NAME, "The list.")


class GivenEntries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entries of a list, each a text of 1 to 256 printable characters."""

    entries: Sequence[Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ENTRY)]]


class Changed(msgspec.Struct, frozen=True):
    """A decision that was made."""

    seq: int
    published: bool
    """Whether it is on the control topic by now."""
    reason: str = ""
    """Why it is not; it is tried again every second."""


class SuppressionsShown(msgspec.Struct, frozen=True):
    """What is suppressed and was not ended, newest first."""

    suppressions: Sequence[Suppressed]


_changing = partial(
    Route,
    needs=Scope.DECIDE,
    parameters=WhoChangesList,
    takes={JSON: GivenEntries},
    body=Changed,
    depends=True,
)


@dataclass(frozen=True)
class ListRoutes:
    """`/lists…` and `/suppressions`."""

    database: Database
    settings: Settings

    @Route("/lists/{name}", "lists_show", parameters=ListPage, body=GivenEntries, depends=True)
    async def show(self, _request: web.Request, query: ListPage) -> web.Response:
        """Entries of a list, in order; none of one that there is not."""
        entries = await self.database.asked(
            lambda one: read_list(one, query.name, query.after, most=query.limit)
        )
        return json_response(GivenEntries(entries))

    @_changing("/lists/{name}", "lists_put", method="PUT")
    async def put(self, request: web.Request, query: WhoChangesList) -> web.Response:
        """Have a list hold these entries and nothing else; larger ones by `txnwatch lists put`."""
        return await self._change(request, query, "put")

    @_changing("/lists/{name}/add", "lists_add", method="POST")
    async def add(self, request: web.Request, query: WhoChangesList) -> web.Response:
        """Add entries to a list, which is made where there is none."""
        return await self._change(request, query, "add")

    @_changing("/lists/{name}/remove", "lists_remove", method="POST")
    async def remove(self, request: web.Request, query: WhoChangesList) -> web.Response:
        """Take entries out of a list; what it has not is passed over."""
        return await self._change(request, query, "remove")

    @Route("/suppressions", "suppressions_list", body=SuppressionsShown, depends=True)
    async def suppressions(self, _request: web.Request, _: NoParameters) -> web.Response:
        """What is suppressed and was not ended, newest first."""
        return json_response(SuppressionsShown(await self.database.asked(holding)))

    @Route(
        "/suppressions",
        "suppressions_decide",
        method="POST",
        needs=Scope.DECIDE,
        parameters=WhoSuppresses,
        takes={JSON: Suppression},
        body=Changed,
        depends=True,
    )
    async def suppress(self, request: web.Request, query: WhoSuppresses) -> web.Response:
        """Have flags of a user, of a rule, or of both be watched instead, until a date; null ends that."""
        one = await answered(_suppression(_decoded(await read_body(request, JSON), Any)), "suppression")
        settings, url = self.settings, self.settings.postgres.get_secret_value()
        by, seconds = (query.who, query.why), settings.dependency_seconds
        made = await answered(suppress(settings, url, one, by, within=seconds), "suppression")
        return json_response(Changed(made.decision.seq, not made.unpublished, made.unpublished))

    async def _change(self, request: web.Request, query: WhoChangesList, change: Change) -> web.Response:
        given = _decoded(await read_body(request, JSON), GivenEntries)
        made = await answered(self._changed(query, change, [*given.entries]), "list")
        return json_response(made)

    async def _changed(self, query: WhoChangesList, change: Change, entries: list[str]) -> Changed:
        settings, url = self.settings, self.settings.postgres.get_secret_value()
        parts = proposals(query.name, change, entries, (query.who, query.why))
        made = await change_list(settings, url, parts, within=settings.dependency_seconds)
        return Changed(made.seq, not made.unpublished, made.unpublished)


async def _suppression(table: Any) -> Suppression:
    return suppression_of(table)


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except NO_JSON as error:
        errors = [ParameterError("body", str(error))]
        raise Problem(422, "It is not accepted, and nothing has changed.", errors=errors) from None
