"""A page and its files, of this version alone: nothing is loaded from elsewhere."""

import asyncio
import gzip
import hashlib
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web

from api.web.problems import Problem

_HEADERS = {
    "Cache-Control": "no-cache",  # asked for again each time, and answered 304 while unchanged
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class _StaticFile:
    """A file as it is sent, compressed once."""

    compressed: bytes
    media: str
    etag: str

    @classmethod
    def load(cls, path: Path) -> "_StaticFile":
        body = path.read_bytes()
        media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return cls(gzip.compress(body, 6), media, hashlib.sha256(body).hexdigest()[:32])

    def response(self, request: web.Request) -> web.Response:
        known = {tag.value for tag in request.if_none_match or ()}
        unchanged = known & {self.etag, "*"}
        response = web.Response(status=304 if unchanged else 200, headers=_HEADERS)
        response.etag = self.etag
        if unchanged:
            return response
        response.content_type = self.media
        response.charset = None if self.media.startswith("image/") else "utf-8"
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            response.headers[hdrs.CONTENT_ENCODING] = "gzip"
            response.body = self.compressed
        else:
            response.body = gzip.decompress(self.compressed)
        return response


class StaticPage:
    """A page under its content security policy, and its files by name; each is read once, when asked for."""

    def __init__(self, page: Path, files: Iterable[Path], *, policy: str) -> None:
        self._page = page
        self._policy = policy
        self._paths = {path.name: path for path in files}
        self._loaded: dict[Path, _StaticFile] = {}
        self._loading = asyncio.Lock()

    async def page(self, request: web.Request) -> web.Response:
        """The page, allowed to load what its policy allows."""
        return await self._response(request, self._page)

    async def file(self, request: web.Request, name: str) -> web.Response:
        """A file of the page.

        Raises:
            Problem: There is none of this name.
        """
        if name not in self._paths:
            raise Problem(404, "There is no such file.")
        return await self._response(request, self._paths[name])

    async def _response(self, request: web.Request, path: Path) -> web.Response:
        async with self._loading:
            if path not in self._loaded:
                self._loaded[path] = await asyncio.to_thread(_StaticFile.load, path)
        response = self._loaded[path].response(request)
        # Of a file, too: what a shared worker may do is what came with its script.
        response.headers["Content-Security-Policy"] = self._policy
        return response
