"""The documentation: Swagger UI, the OpenAPI document that it shows, and the AsyncAPI one of the topics."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from swagger_ui_bundle import swagger_ui_path

from api.web.asyncapi import asyncapi
from api.web.openapi import document
from api.web.params import NoParameters, file_named, path
from api.web.route import Route
from api.web.static_files import StaticPage
from infra.runtime.settings import TopicSettings

_STATIC = Path(__file__).parent / "static"
_SWAGGER = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png", "favicon-32x32.png")
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

    def __init__(self, root_path: str, topics: TopicSettings) -> None:
        self._root_path = root_path
        bundle = Path(str(swagger_ui_path))
        self._files = StaticPage(
            _STATIC / "docs.html",
            (_STATIC / "start.js", *(bundle / name for name in _SWAGGER)),
            policy=_POLICY,
        )
        self._document = b""
        self._topics = json.dumps(asyncapi(topics), indent=1).encode()

    def describe(self, routes: Sequence[Route], *, login: bool) -> None:
        """Have /openapi.json describe these routes, and whether callers log in."""
        self._document = json.dumps(document(routes, self._root_path, login=login), indent=1).encode()

    @Route("/", "docs_home", status=307, media="")
    async def home(self, _request: web.Request, _: NoParameters) -> web.Response:
        """To the documentation."""
        # Relative, so that it stays behind the path that a proxy serves all of this under.
        return web.Response(status=307, headers={"Location": "docs"})

    @Route("/docs", "docs_page", media="text/html")
    async def page(self, request: web.Request, _: NoParameters) -> web.StreamResponse:
        """This documentation."""
        return await self._files.page(request)

    @Route("/docs/{file}", "docs_asset", parameters=DocsFile, media="*/*", finds=True)
    async def asset(self, request: web.Request, query: DocsFile) -> web.StreamResponse:
        """A file of this documentation."""
        return await self._files.file(request, query.file)

    @Route("/openapi.json", "docs_openapi", body=dict[str, Any])
    async def openapi(self, _request: web.Request, _: NoParameters) -> web.Response:
        """This description."""
        return web.Response(body=self._document, content_type="application/json")

    @Route("/asyncapi.json", "docs_asyncapi", body=dict[str, Any])
    async def of_topics(self, _request: web.Request, _: NoParameters) -> web.Response:
        """The description of the topics in Kafka, as AsyncAPI 3."""
        return web.Response(body=self._topics, content_type="application/json")
