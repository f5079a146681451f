"""What the dashboard's routes do once their parameters are read."""

from typing import Any

import msgspec
from aiohttp import web

from api.dashboard.answers import Rule, UserIds, Workers
from api.dashboard.watch import Pulse
from api.dashboard.workers import Group
from api.live.broker import Broker
from api.reading.database import Database
from api.routes import parameters as inputs
from infra.runtime.coalesced import Coalesced

_KEPT_SECONDS = 1.0
_SUGGESTED = 10


def _json(value: Any) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


class Data:
    """Answers in JSON."""

    def __init__(
        self, pulse: Pulse, group: Group, broker: Broker, database: Database, *, source: str, rule: Rule
    ) -> None:
        self._pulse = pulse
        self._group = group
        self._broker = broker
        self._database = database
        self._source = source
        self._rule = rule
        self._workers = Coalesced(self._ask_workers, max_age=_KEPT_SECONDS)

    async def pulse(self, _request: web.Request, query: inputs.After) -> web.Response:
        """Rates and lag."""
        return _json(await self._pulse.page(query.after))

    async def refused(self, _request: web.Request, _: inputs.Nothing) -> web.Response:
        """Refused messages."""
        return _json(await self._pulse.refused())

    async def workers(self, _request: web.Request, _: inputs.Nothing) -> web.Response:
        """Who holds which partitions, asked of Kafka at most once a second."""
        return _json(await self._workers.answer())

    async def _ask_workers(self) -> Workers:
        return await self._group.workers(sorted(await self._broker.ends(self._source)))

    async def rule(self, _request: web.Request, _: inputs.Nothing) -> web.Response:
        """What a transaction is compared with."""
        return _json(self._rule)

    async def users(self, _request: web.Request, query: inputs.Prefix) -> web.Response:
        """The first few users whose ids begin so."""
        first, last = query.prefix
        return _json(UserIds(await self._database.users_between(first, last, _SUGGESTED)))
