"""Exports: all rows of a range as one stream, in bounded memory here, in Postgres and on the way."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import web
from aiohttp.hdrs import METH_HEAD

from api.problems import Unavailable
from api.queries import Shape

log = logging.getLogger(__name__)

Lines = Callable[[Shape], AsyncGenerator[list[str], None]]


@dataclass(frozen=True, slots=True)
class Form:
    """How rows look as lines of text."""

    media: str
    shape: Shape
    suffix: str
    end: str
    heading: str = ""


_COLUMNS = "id,user_id,amount,currency,txn_date,status,meta_data"
FORMS = {
    form.media: form
    for form in (
        Form("application/x-ndjson", "json", "ndjson", "\n"),
        Form("text/csv", "csv", "csv", "\r\n", _COLUMNS),  # RFC 4180
    )
}


class Exports:
    """At most `at_once` at a time, each with a connection to Postgres of its own and a bound in time."""

    def __init__(self, *, at_once: int, seconds: float, send_seconds: float) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._seconds = seconds
        self._send_seconds = send_seconds

    async def send(self, request: web.Request, form: Form, name: str, lines: Lines) -> web.StreamResponse:
        """Sends them all. What fails before the first line is the request's error.

        What fails later cuts the answer short, so that no client takes a part for the whole.
        """
        if self._free.locked():
            raise Unavailable("api", "Enough exports are running; come back when one has ended.")
        response = web.StreamResponse(headers=_headers(form, name))
        if request.method == METH_HEAD:
            await response.prepare(request)
            return response
        async with self._free, aclosing(lines(form.shape)) as batches:
            first: list[str] = await anext(batches, [])
            await response.prepare(request)
            try:
                async with asyncio.timeout(self._seconds):
                    await self._write(response, [form.heading, *first] if form.heading else first, form.end)
                    async for batch in batches:
                        await self._write(response, batch, form.end)
                    await response.write_eof()
            except (Unavailable, TimeoutError, ConnectionError) as error:
                self._cut_short(request, error)
        return response

    async def _write(self, response: web.StreamResponse, lines: list[str], end: str) -> None:
        async with asyncio.timeout(self._send_seconds):
            await response.write("".join([f"{line}{end}" for line in lines]).encode())

    @staticmethod
    def _cut_short(request: web.Request, error: Exception) -> None:
        log.warning("export cut short: %s", getattr(error, "detail", None) or type(error).__name__)
        if request.transport is not None:
            request.transport.abort()


def _headers(form: Form, name: str) -> dict[str, str]:
    return {
        "Content-Type": f"{form.media}; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{name}.{form.suffix}"',
        "Cache-Control": "no-store",
        "Vary": "Accept",
    }
