"""The documentation page: Swagger UI from the installed package, and nothing from elsewhere."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from swagger_ui_bundle import swagger_ui_path

from api.routes import parameters as inputs
from api.web.problems import Problem

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


class Docs:
    """Serves the page, its files and the document; the latter is set once all routes are known."""

    def __init__(self) -> None:
        self._document = b""

    def describe(self, document: Mapping[str, Any]) -> None:
        """Sets what /openapi.json answers."""
        self._document = json.dumps(document, indent=1).encode()

    async def home(self, _request: web.Request, _: inputs.Nothing) -> web.Response:
        """To the page, from where people start."""
        return web.Response(status=307, headers={"Location": "/docs"})

    async def page(self, _request: web.Request, _: inputs.Nothing) -> web.Response:
        """The page, allowed to load from here alone."""
        return web.Response(
            text=_PAGE, content_type="text/html", headers={"Content-Security-Policy": _POLICY}
        )

    async def asset(self, _request: web.Request, query: inputs.Asset) -> web.StreamResponse:
        """A file of the page."""
        if query.file == "start.js":
            return web.Response(text=_START, content_type="text/javascript")
        if query.file not in _ASSETS:
            raise Problem(404, "There is no such file.")
        return web.FileResponse(Path(str(swagger_ui_path)) / query.file)

    async def openapi(self, _request: web.Request, _: inputs.Nothing) -> web.Response:
        """The OpenAPI document."""
        return web.Response(body=self._document, content_type="application/json")
