"""Exports: all rows of a range as one stream, in bounded memory here, in Postgres and on the way.

A client that reads slowly holds its place here, and nothing in Postgres.
"""

import asyncio
import codecs
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from http import HTTPStatus

from aiohttp import web
from aiohttp.hdrs import METH_HEAD

from api.reading.statements import Shape
from api.settings import StreamSettings
from api.web.problems import Problem, Unavailable
from api.web.route import one_line
from infra.export.parquet import NoParquetError, ParquetExport, Taken, is_installed

log = logging.getLogger(__name__)

_PIECE_BYTES = 1 << 16
"""A client has to read so much within `send_seconds`."""

Lines = Callable[[Shape], AsyncGenerator[bytes, None]]


_HEADING = b"id,user_id,amount,currency,txn_date,status,meta_data,merchant_id,card_id,country,channel\r\n"
_LINES_MEDIA = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


@dataclass(frozen=True, slots=True)
class Form:
    """How rows look in a file."""

    media: str
    suffix: str
    """Of the file that it is offered as."""
    shape: Shape
    heading: bytes = b""

    def written(self, *, escape: bool, bom: bool) -> "Form":
        """The form for a program in place of a spreadsheet, or for one that knows UTF-8 by its mark alone."""
        if self.suffix != "csv":
            return self
        mark = codecs.BOM_UTF8 if bom else b""
        return replace(self, shape="csv" if escape else "raw_csv", heading=mark + self.heading)

    async def pieces(self, rows: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The file of these rows as Postgres writes them; at least one piece, which may be empty."""
        yield self.heading + self._lines(await anext(rows, b""))
        async for text in rows:
            yield self._lines(text)

    def _lines(self, text: bytes) -> bytes:
        """Line ends where rows end alone."""
        return one_line(text) if self.shape == "ndjson" else text


class _Parquet(Form):
    """Row groups in place of lines."""

    async def pieces(self, rows: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The file, a row group at a time, which is made in a thread."""
        text: bytes | None = await anext(rows, b"")
        taken = Taken()
        with await asyncio.to_thread(ParquetExport, taken) as file:
            while text is not None:
                await asyncio.to_thread(file.add, text)
                yield taken.take()
                text = await anext(rows, None)
        yield taken.take()


FORMS = {media: Form(media, "ndjson", "ndjson") for media in _LINES_MEDIA}
FORMS["text/csv"] = Form("text/csv", "csv", "csv", _HEADING)
_PARQUET = "application/vnd.apache.parquet"
FORMS[_PARQUET] = _Parquet(_PARQUET, "parquet", "raw_csv")
FORMATS = {
    "json": None,
    "ndjson": FORMS["application/x-ndjson"],
    "csv": FORMS["text/csv"],
    "parquet": FORMS[_PARQUET],
}
"""What `format` may say; rows in JSON are pages, and no export."""


class Exports:
    """A bounded number at a time, each with a bound in time."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._free = asyncio.Semaphore(settings.exports)

    async def send(self, request: web.Request, form: Form, name: str, lines: Lines) -> web.StreamResponse:
        """Send all lines. An error before the first one is the request's.

        A later one cuts the answer short, so that no client takes a part for the whole.
        """
        if self._free.locked():
            raise Unavailable("Enough exports are running; come back when one has ended.")
        response = web.StreamResponse(headers=_headers(form, name))
        if request.method == METH_HEAD:
            await response.prepare(request)
            return response
        async with (
            self._free,
            aclosing(_ahead(lines(form.shape))) as chunks,
            aclosing(form.pieces(chunks)) as pieces,
        ):
            first = await anext(pieces)
            await response.prepare(request)
            try:
                async with asyncio.timeout(self._settings.export_seconds):
                    await self._write(response, first)
                    async for piece in pieces:
                        await self._write(response, piece)
                    await response.write_eof()
            except (Unavailable, TimeoutError, ConnectionError) as error:
                log.warning("export cut short: %s", getattr(error, "detail", None) or type(error).__name__)
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def _write(self, response: web.StreamResponse, text: bytes) -> None:
        for start in range(0, max(len(text), 1), _PIECE_BYTES):  # empty text sends the headers
            async with asyncio.timeout(self._settings.send_seconds):
                await response.write(text[start : start + _PIECE_BYTES])


async def _ahead(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same chunks, each asked for while the one before is sent; closes their generator."""
    async with aclosing(chunks):
        coming = asyncio.ensure_future(anext(chunks, None))
        try:
            while (chunk := await coming) is not None:
                coming = asyncio.ensure_future(anext(chunks, None))
                yield chunk
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


def _headers(form: Form, name: str) -> dict[str, str]:
    return {
        "Content-Type": form.media if form.media == _PARQUET else f"{form.media}; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{name}.{form.suffix}"',
        "Cache-Control": "no-store",
        "Vary": "Accept",
    }


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The offered media type that this Accept header weighs most (RFC 9110, 12.5.1), by default the first.

    >>> preferred("text/html, text/csv;q=0.9, */*;q=0.1", ["application/json", "text/csv"])
    'text/csv'
    """
    weights = dict(_weights(accept))

    def weight(media: str) -> float:
        """The weight that the most specific range gives it."""
        ranges = (media, f"{media.partition('/')[0]}/*", "*/*")
        return next((weights[one] for one in ranges if one in weights), 0.0)

    return max(offered, key=weight)


def _weights(accept: str) -> Iterator[tuple[str, float]]:
    for one in accept.split(","):
        media, *parameters = (part.strip().lower() for part in one.split(";"))
        weights = [part.removeprefix("q=") for part in parameters if part.startswith("q=")]
        try:
            yield media, min(max(float(weights[0]), 0.0), 1.0) if weights else 1.0
        except ValueError:
            yield media, 0.0


def chosen(accept: str, named: str | None) -> Form | None:
    """The form that is named, else the one that this Accept header weighs most; None for pages of JSON."""
    if named is None and accept == "*/*":
        return None
    form = FORMATS[named] if named else FORMS.get(preferred(accept, ("application/json", *FORMS)))
    if isinstance(form, _Parquet) and not is_installed():
        raise Problem(HTTPStatus.NOT_IMPLEMENTED, str(NoParquetError()))
    return form
