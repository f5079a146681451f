"""The dashboard's page and files: our own beside this module, Plotly's from its installed package."""

from importlib.resources import files
from pathlib import Path

from aiohttp import web

from api import inputs
from api.problems import Problem

_STATIC = Path(str(files("api.dashboard"))) / "static"
_PAGE = _STATIC / "page.html"
_PLOTLY = "plotly.min.js"

# No inline script or style at all. Plotly would write style elements; page.html tells it not to.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",  # asked for again each time, and answered 304 while unchanged
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Page:
    """Serves files of this version alone; none of them has an address outside."""

    def __init__(self) -> None:
        self._files = {file.name: file for file in _STATIC.iterdir() if file != _PAGE}
        self._files[_PLOTLY] = Path(str(files("plotly"))) / "package_data" / _PLOTLY

    async def page(self, _request: web.Request, _: inputs.Nothing) -> web.StreamResponse:
        """The page, allowed to load from here alone."""
        return web.FileResponse(_PAGE, headers={**_HEADERS, "Content-Security-Policy": _POLICY})

    async def asset(self, _request: web.Request, query: inputs.Asset) -> web.StreamResponse:
        """A file of the page."""
        if query.file not in self._files:
            raise Problem(404, "There is no such file.")
        response = web.FileResponse(self._files[query.file], headers=_HEADERS)
        response.enable_compression()
        return response
