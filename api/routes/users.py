"""Users: the list of them, and each one's window."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from api.reading.cursors import Cursors
from api.reading.database import Database
from api.reading.worker import WindowReader
from api.web.params import CURSOR, UUID, integer, path, query
from api.web.problems import ParameterError, Problem
from api.web.route import Route, json_response, next_page
from schemas.text import Uuid
from schemas.window_view import Stats

_FIRST = "$response.body#/users/0"


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

    users: Sequence[Uuid]
    cursor: str


@dataclass(frozen=True)
class UserRoutes:
    """`/users` and `/users/{user_id}/stats`."""

    database: Database
    windows: WindowReader
    cursors: Cursors

    def _cursor_opens(self, values: Mapping[str, Any]) -> Iterator[ParameterError]:
        if values.get("cursor"):
            try:
                self.cursors.to_user(values["cursor"])
            except ValueError as refused:
                yield ParameterError("cursor", str(refused))

    @Route(
        "/users",
        "pages_users",
        parameters=Users,
        check=_cursor_opens,
        body=UsersPage,
        pages=True,
        links={
            "next_page": {"cursor": "$response.body#/cursor"},
            "first_users_window": {"operation": "pages_stats", "user_id": _FIRST},
            "first_users_rows": {"operation": "pages_transactions", "user_id": _FIRST},
        },
        depends=True,
    )
    async def users(self, request: web.Request, query: Users) -> web.Response:
        """All users, in pages."""
        after = self.cursors.to_user(query.cursor) if query.cursor else None
        users = await self.database.users(query.limit, after=after)
        cursor = self.cursors.of_user(users[-1]) if users else ""
        more = cursor if len(users) == query.limit else ""
        return json_response(UsersPage(users, cursor), next_page(request, more))

    @Route("/users/{user_id}/stats", "pages_stats", parameters=User, body=Stats, depends=True, finds=True)
    async def stats(self, _request: web.Request, query: User) -> web.Response:
        """The window that a user's next transaction is scored against."""
        stats = await self.windows.of(query.user_id)
        if stats is None:
            raise Problem(404, "There is no window of this user.")
        return json_response(stats)
