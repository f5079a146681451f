"""Users: the list of them, and each one's window."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from api.reading.cursors import Cursors
from api.reading.database import Database
from api.reading.window_reader import WindowReader
from api.web.params import CURSOR, EXAMPLE_CURSOR, EXAMPLE_UUID, UUID, integer, path, query
from api.web.problems import ParameterError, Problem
from api.web.route import Route, json_response, next_page
from schemas.window_view import Stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """A page of the list of users."""

    limit: int = query(integer(1, 10_000), "How many at most.", default=1000)
    cursor: str | None = query(CURSOR, "The cursor of the page before; empty: from the start.", blank=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user."""

    user_id: str = path(UUID, "The user.")


class UsersPage(msgspec.Struct, frozen=True):
    """Users in the order of their ids; `cursor` is empty only when the page is."""

    users: Sequence[str]
    cursor: str


_STATS = Stats(
    user_id=EXAMPLE_UUID,
    count=3,
    mean="134.43",
    sum="403.29",
    amounts=["120.00", "183.29", "100.00"],
    last_offset=4711,
    updated_at="2018-04-01T00:00:31Z",
)


class UserRoutes:
    """`/users` and `/users/{user_id}/stats`."""

    def __init__(self, database: Database, windows: WindowReader, cursors: Cursors) -> None:
        self._database = database
        self._windows = windows
        self._cursors = cursors

    def _cursor_opens(self, values: Mapping[str, Any]) -> Iterator[ParameterError]:
        if values.get("cursor"):
            try:
                self._cursors.to_user(values["cursor"])
            except ValueError as refused:
                yield ParameterError("cursor", str(refused))

    @Route(
        "/users",
        "pages_users",
        parameters=Users,
        check=_cursor_opens,
        body=UsersPage,
        example=UsersPage([EXAMPLE_UUID], EXAMPLE_CURSOR),
        pages=True,
        depends=True,
    )
    async def users(self, request: web.Request, query: Users) -> web.Response:
        """All users, in pages."""
        after = self._cursors.to_user(query.cursor) if query.cursor else None
        users = await self._database.users(after, query.limit)
        cursor = self._cursors.of_user(users[-1]) if users else ""
        more = cursor if len(users) == query.limit else ""
        return json_response(UsersPage(users, cursor), next_page(request, more))

    @Route(
        "/users/{user_id}/stats",
        "pages_stats",
        parameters=User,
        body=Stats,
        example=_STATS,
        depends=True,
        finds=True,
    )
    async def stats(self, _request: web.Request, query: User) -> web.Response:
        """The window that a user's next transaction is scored against."""
        stats = await self._windows.of(query.user_id)
        if stats is None:
            raise Problem(404, "There is no window of this user.")
        return json_response(stats)
