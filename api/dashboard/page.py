"""The dashboard's page and files: our own beside this module, Plotly's from its installed package."""

import re
from importlib.resources import files
from pathlib import Path

from aiohttp import web

from api import inputs
from api.problems import Problem

_STATIC = Path(str(files("api.dashboard"))) / "static"
_PAGE = _STATIC / "page.html"
_PLOTLY = "plotly.min.js"

# No inline script or style at all, and no text that could become markup. Plotly would write style elements; page.html tells it not to.
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


class Page:
    """Serves files of this version alone; none of them has an address outside."""

    def __init__(self) -> None:
        plotly = Path(str(files("plotly"))) / "package_data" / _PLOTLY
        self._files = {file.name: file for file in _STATIC.iterdir() if file != _PAGE}
        self._files[_PLOTLY] = plotly
        self._page = _PAGE.read_bytes().replace(b"<!-- taken -->", _taken(plotly.read_bytes()))

    async def page(self, _request: web.Request, _: inputs.Nothing) -> web.StreamResponse:
        """The page, allowed to load from here alone."""
        return web.Response(
            body=self._page,
            content_type="text/html",
            charset="utf-8",
            headers={**_HEADERS, "Content-Security-Policy": _POLICY},
        )

    async def asset(self, _request: web.Request, query: inputs.Asset) -> web.StreamResponse:
        """A file of the page."""
        if query.file not in self._files:
            raise Problem(404, "There is no such file.")
        response = web.FileResponse(self._files[query.file], headers=_HEADERS)
        response.enable_compression()
        return response


def _taken(plotly: bytes) -> bytes:
    """Elements with the ids that Plotly looks for before it writes the style sheets of its maps.

    It finds them taken, writes none, and breaks no rule of the policy.
    """
    ids = dict.fromkeys(re.findall(rb'getElementById\("([0-9a-f]{64})"\)', plotly))
    return b"\n".join([b'<template id="%b"></template>' % found for found in ids])
