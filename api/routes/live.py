# ruff: noqa: RUF009 - the calls declare fields, as dataclasses.field does
"""Live streams: what is scored, as it is scored."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from api.live.catch_up import CatchUp
from api.live.connections import Connections
from api.live.event_id import EventId, parse
from api.live.feed import LiveFeed
from api.live.listeners import Client
from api.live.replay import Replay
from api.settings import StreamSettings
from api.web.params import UUID, Kind, header, path, query
from api.web.problems import Unavailable
from api.web.route import EVENT_STREAM, Route
from schemas.scored import Scored

EVENT_ID = Kind(parse, {"type": "string", "examples": ["earliest", "v2.HwyaPgAECAAAAAAAAAADAABgAAQM"]})

_LAST_SEEN = (
    "The id of the last event seen. The stream goes on after it, without a gap or a repeat. "
    "`earliest`: from the first record that there is."
)
_OUTWEIGHS = f"{_LAST_SEEN} It outweighs last_event_id."
_ALIASES = ("lastEventId", "Last-Event-ID")
"""What clients without headers add to an address that may have last_event_id already."""
_STREAM: dict[str, Any] = {"body": Scored, "media": EVENT_STREAM, "depends": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStream:
    """One user's live transactions."""

    user_id: str = path(UUID, "The user.")
    last_event_id: EventId | None = query(EVENT_ID, _LAST_SEEN, blank=True, aliases=_ALIASES)
    last_event_header: EventId | None = header("Last-Event-ID", EVENT_ID, _OUTWEIGHS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyStream:
    """The live flags."""

    user_id: str | None = query(UUID, "Only this user's.")
    last_event_id: EventId | None = query(EVENT_ID, _LAST_SEEN, blank=True, aliases=_ALIASES)
    last_event_header: EventId | None = header("Last-Event-ID", EVENT_ID, _OUTWEIGHS)


@dataclass(frozen=True)
class LiveRoutes:
    """`/sse/…`. Without a scored topic there are no streams of all transactions."""

    connections: Connections
    replay: Replay
    settings: StreamSettings
    flags: LiveFeed
    scored: LiveFeed | None

    @Route("/sse/transactions/{user_id}", "feeds_transactions", parameters=UserStream, **_STREAM)
    async def transactions(self, request: web.Request, query: UserStream) -> web.StreamResponse:
        """A user's transactions as they are scored."""
        if self.scored is None:
            raise Unavailable(
                "The topic of all scored transactions is switched off (TXNWATCH_SCORED_TOPIC is empty).",
                retry_after=3600,
            )
        return await self._stream(request, self.scored, query)

    @Route("/sse/anomalies", "feeds_anomalies", parameters=AnomalyStream, **_STREAM)
    async def anomalies(self, request: web.Request, query: AnomalyStream) -> web.StreamResponse:
        """Flags as they are raised."""
        return await self._stream(request, self.flags, query)

    async def _stream(
        self, request: web.Request, feed: LiveFeed, query: UserStream | AnomalyStream
    ) -> web.StreamResponse:
        key = query.user_id.encode() if query.user_id else None
        asked = query.last_event_header or query.last_event_id

        def frames(client: Client) -> AsyncGenerator[bytes, None]:
            return CatchUp(feed, self.replay, self.settings, key, client).frames(asked)

        return await self.connections.send(request, frames)
