"""The dashboard's page and files: our own beside this module, uPlot's from the package `youplot`."""

from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

from api.web.static_files import StaticPage

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


def dashboard_page() -> StaticPage:
    """The page, allowed to load from here alone."""
    own = (path for path in _STATIC.iterdir() if path != _PAGE)
    return StaticPage(_PAGE, [*own, *_UPLOT], policy=_POLICY)
