"""The dashboard's page and files: our own beside this module, uPlot's from the package `youplot`."""

import asyncio
import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

from aiohttp import hdrs, web

from api.web.problems import Problem

_STATIC = Path(str(files("api.dashboard"))) / "static"
_PAGE = _STATIC / "page.html"
# Found without importing the package, which is about drawing from Python.
_VENDOR = Path(str(distribution("youplot").locate_file("youplot/vendor")))
_UPLOT = (_VENDOR / "uplot.iife.min.js", _VENDOR / "uplot.min.css")

# No inline script or style at all, and no text that could become markup.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",  # asked for again each time, and answered 304 while unchanged
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is sent, packed once."""

    packed: bytes
    media: str
    etag: str

    def answer(self, request: web.Request) -> web.Response:
        known = {tag.value for tag in request.if_none_match or ()}
        fresh = not known & {self.etag, "*"}
        response = web.Response(status=200 if fresh else 304, headers=_HEADERS)
        response.etag = self.etag
        response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
        if not fresh:
            return response
        response.content_type, response.charset = self.media, "utf-8"
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
            response.body = self.packed
        else:
            response.body = gzip.decompress(self.packed)
        return response


class Page:
    """Serves files of this version alone; none of them has an address outside."""

    def __init__(self) -> None:
        self._paths = {path.name: path for path in (*_STATIC.iterdir(), *_UPLOT)}
        self._files: dict[str, _File] = {}
        self._loading = asyncio.Lock()

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page, allowed to load from here alone."""
        response = (await self._file(_PAGE.name)).answer(request)
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    async def asset(self, request: web.Request, name: str) -> web.StreamResponse:
        """A file of the page."""
        if name not in self._paths or name == _PAGE.name:
            raise Problem(404, "There is no such file.")
        return (await self._file(name)).answer(request)

    async def _file(self, name: str) -> _File:
        async with self._loading:
            if name not in self._files:
                self._files[name] = await asyncio.to_thread(_load, self._paths[name])
            return self._files[name]


def _load(path: Path) -> _File:
    body = path.read_bytes()
    media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _File(gzip.compress(body, 6), media, hashlib.sha256(body).hexdigest()[:32])
