"""Answers that are being given: each ends within seconds of the right that its caller had to it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

from aiohttp import web

from api.web.gate import Gate, GuardedRoute, check_right
from api.web.problems import Problem, Unavailable
from infra.runtime.background import background
from schemas.access import Caller

log = logging.getLogger(__name__)

_EACH_SECONDS = 2.0
"""With what the gate keeps, an answer ends seven seconds later at the most."""


class _OpenAnswer(NamedTuple):
    request: web.Request
    route: GuardedRoute
    caller: Caller
    digest: bytes

    def is_allowed(self, caller: Caller | None) -> bool:
        """Whether who asked for it, now this caller, may still have it."""
        if caller is None or caller == self.caller:
            return caller is not None
        try:
            check_right(caller, self.request, self.route)
        except Problem:
            return False
        return True


class OpenAnswers:
    """Streams and exports go on for hours: sessions end meanwhile, tokens are revoked, rights taken.

    Then the connection is cut, with what waits on it: a part of an answer must not look like all of it. While
    Postgres is away nobody can tell, and what was allowed goes on.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._open: dict[int, _OpenAnswer] = {}

    @contextmanager
    def listed(self, request: web.Request, route: GuardedRoute, caller: Caller) -> Iterator[None]:
        """Have the answer end with the right to it, while the block gives it."""
        key = id(request)
        self._open[key] = _OpenAnswer(request, route, caller, self._gate.shown(request))
        try:
            yield
        finally:
            del self._open[key]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after them while the block runs."""
        async with background(self._look_after(), name="rights to open answers"):
            yield

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(_EACH_SECONDS)
            try:
                await self._end_some()
            except Unavailable as error:
                log.debug("rights to open answers not looked up: %s", error.detail)
            except Exception:
                log.exception("rights to open answers not looked up")

    async def _end_some(self) -> None:
        """Cut off all whose callers may no longer have them."""
        known = await self._gate.all_known({one.digest for one in self._open.values()})
        for one in [*self._open.values()]:
            if one.digest in known and not one.is_allowed(known[one.digest]) and one.request.transport:
                log.info("an answer to %s ended: they may no longer have it", one.caller.name)
                one.request.transport.abort()
