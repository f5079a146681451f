"""The documentation page: Swagger UI from the installed package, and nothing from elsewhere."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from swagger_ui_bundle import swagger_ui_path

from api.web.openapi import document
from api.web.params import NoParameters, file_named, path
from api.web.problems import Problem
from api.web.route import Route

# The page's own parts are in one place here; everything else is the package's.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>txnwatch API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

# This Swagger UI knows OpenAPI up to 3.0 and turns 3.1 away by its number alone. The document
# uses nothing that 3.0 would show differently. Its validator badge would ask an outside service.
_START = """"use strict";
fetch("openapi.json").then((answer) => answer.json()).then((spec) => {
  spec.openapi = "3.0.3";
  SwaggerUIBundle({ spec, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
});
"""

_ASSETS = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png", "favicon-32x32.png"})
_POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocsFile:
    """A file of the documentation page."""

    file: str = path(file_named("swagger-ui.css"), "The file's name.")


class Docs:
    """The page, its files, and the document, which is set once all routes are known."""

    def __init__(self) -> None:
        self._document = b""

    def describe(self, routes: Sequence[Route]) -> None:
        """Have /openapi.json describe these routes."""
        self._document = json.dumps(document(routes), indent=1).encode()

    @Route("/", "docs_home", status=307, media="")
    async def home(self, _request: web.Request, _: NoParameters) -> web.Response:
        """To the documentation."""
        return web.Response(status=307, headers={"Location": "/docs"})

    @Route("/docs", "docs_page", media="text/html")
    async def page(self, _request: web.Request, _: NoParameters) -> web.Response:
        """This documentation."""
        return web.Response(
            text=_PAGE, content_type="text/html", headers={"Content-Security-Policy": _POLICY}
        )

    @Route("/docs/{file}", "docs_asset", parameters=DocsFile, media="*/*", finds=True)
    async def asset(self, _request: web.Request, query: DocsFile) -> web.StreamResponse:
        """A file of this documentation."""
        if query.file == "start.js":
            return web.Response(text=_START, content_type="text/javascript")
        if query.file not in _ASSETS:
            raise Problem(404, "There is no such file.")
        return web.FileResponse(Path(str(swagger_ui_path)) / query.file)

    @Route("/openapi.json", "docs_openapi", body=dict[str, Any])
    async def openapi(self, _request: web.Request, _: NoParameters) -> web.Response:
        """This description."""
        return web.Response(body=self._document, content_type="application/json")
