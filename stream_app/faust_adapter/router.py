"""Which worker answers for a user: the one that the partitioner names, or else any that has a window."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from aiohttp import ClientError
from faust.app.router import Router, SameNode
from faust.web import Request, Response, Web
from faust.web.exceptions import ServiceUnavailable
from yarl import URL

_ASKED = "X-Txnwatch-Asked"  # by a worker, which asks the others itself
_SECONDS = 2.0  # the API waits 3 for a worker


class _Answer(NamedTuple):
    status: int
    text: str

    @property
    def updated_at(self) -> str:
        return str(msgspec.json.decode(self.text).get("updated_at", ""))


class WindowRouter(Router):  # type: ignore[misc]
    """Asks all workers before a user counts as unknown.

    Faust asks the one that the partitioner names: the wrong one where a producer has another partitioner.
    """

    async def route_req(self, table_name: str, key: str, web: Web, request: Request) -> Response:
        """The answer of the worker that has the key.

        Raises:
            SameNode: That is this worker, or all workers have answered that they do not have it.
            ServiceUnavailable: It was not found, and not all workers have answered.
        """
        if _ASKED in request.headers:
            raise SameNode
        owner, others = self._elsewhere(table_name, key)
        is_here = key in self.app.tables[table_name]
        answers = await self._ask(owner, request)
        if not (is_here or _found(answers)):
            answers += await self._ask(others, request)
        if found := _found(answers):
            newest = max(found, key=lambda answer: answer.updated_at)
            return web.text(newest.text, content_type="application/json")
        if not is_here and any(answer.status != HTTPStatus.NOT_FOUND for answer in answers):
            raise ServiceUnavailable
        raise SameNode

    def _elsewhere(self, table_name: str, key: str) -> tuple[list[URL], list[URL]]:
        """The worker that the key belongs to, unless it is this one, and all others."""
        try:
            owner = self._urlident(self.key_store(table_name, key))
        except KeyError:  # while the group shares out
            raise ServiceUnavailable from None
        workers = {self._urlident(url): url for url in map(URL, self._assignor.changelog_distribution)}
        workers.pop(self._urlident(self.app.conf.canonical_url), None)
        return [workers.pop(owner)] if owner in workers else [], list(workers.values())

    async def _ask(self, workers: Iterable[URL], request: Request) -> list[_Answer]:
        return await asyncio.gather(*(self._answer(worker, request.url) for worker in workers))

    async def _answer(self, worker: URL, asked: URL) -> _Answer:
        """What the worker says of this view, 503 for one that says nothing in time."""
        url = asked.with_host(worker.host or "").with_port(worker.port)
        client, headers = self.app.http_client, {_ASKED: "1", **self.app.settings.web_headers}
        try:
            async with asyncio.timeout(_SECONDS), client.get(url, headers=headers) as response:
                return _Answer(response.status, await response.text())
        except (ClientError, OSError):
            return _Answer(HTTPStatus.SERVICE_UNAVAILABLE, "")


def _found(answers: Iterable[_Answer]) -> list[_Answer]:
    return [answer for answer in answers if answer.status == HTTPStatus.OK]
