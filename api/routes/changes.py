# ruff: noqa: RUF009 - the calls declare fields, as dataclasses.field does
"""Changes of rows, for those who keep a copy."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from api.reading.changes import AheadError
from api.reading.cursors import Cursors
from api.reading.database import Database
from api.routes.rows import LabelledRow
from api.web.params import CURSOR, FROM, integer, query
from api.web.problems import BadParameters, ParameterError
from api.web.route import Route, json_response, next_page
from schemas.text import Moment, Uuid

_SINCE = (
    "At least all that changed from this time on, to the minute; of a time before this was kept, all rows. "
    "It counts where there is no cursor."
)
_CURSOR = "The cursor of the answer before: what has changed since."


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """A page of changes."""

    changed_since: datetime = query(FROM, _SINCE, required=True)
    limit: int = query(integer(1, 1000), "How many rows at most.", default=1000)
    cursor: str | None = query(CURSOR, _CURSOR, blank=True)


class GoneKey(msgspec.Struct, frozen=True):
    """What a row was known by that was removed, or has another date by a revision."""

    id: Uuid
    user_id: Uuid
    txn_date: Moment


class ChangesPage(msgspec.Struct, frozen=True):
    """Rows as they are now, each after those that changed before it; `cursor` is where to go on, at any time.

    Describes the text that Postgres makes of a page.
    """

    transactions: list[LabelledRow]
    gone: list[GoneKey]
    """Has no row any more."""
    cursor: str


@dataclass(frozen=True)
class ChangeRoutes:
    """`/transactions/changes`."""

    database: Database
    cursors: Cursors

    def _readable(self, values: Mapping[str, Any]) -> Iterator[ParameterError]:
        if values.get("cursor"):
            try:
                self.cursors.to_change(values["cursor"])
            except ValueError as refused:
                yield ParameterError("cursor", str(refused))

    @Route(
        "/transactions/changes",
        "pages_changes",
        parameters=Changes,
        check=_readable,
        body=ChangesPage,
        pages=True,
        depends=True,
    )
    async def changes(self, request: web.Request, query: Changes) -> web.Response:
        """All users' rows that changed, by labels too, in an order by which a follower misses none.

        A row comes again when it changes again, and may come twice. `Link` leads on while more is there.
        """
        if query.cursor:
            place = self.cursors.to_change(query.cursor)
        else:
            place = await self.database.changed_since(query.changed_since)
        try:
            found = await self.database.changes(place, query.limit)
        except AheadError as refused:
            raise BadParameters([ParameterError("cursor", str(refused))]) from None
        cursor = self.cursors.of_change(found.place)
        body = f'{{"transactions":[{found.rows}],"gone":[{found.gone}],"cursor":"{cursor}"}}'
        return json_response(body.encode(), next_page(request, cursor if found.more else ""))
