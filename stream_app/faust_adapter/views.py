"""Web views beside Faust's own: the counters for Prometheus, and which rule the worker runs."""

from collections.abc import Callable
from typing import Any

import faust
import msgspec
from faust.web import Request, Response, View

from schemas.rule import Rule

_PROMETHEUS = "text/plain; version=0.0.4"


def add_views(app: faust.App, exposition: Callable[[], bytes], rule: Rule) -> None:
    """Register the views with the app's web server."""
    rule_json = msgspec.json.encode(rule)

    @app.page("/metrics/prometheus")  # type: ignore[untyped-decorator]
    async def metrics(view: View, _request: Request, **_kwargs: Any) -> Response:
        return view.bytes(exposition(), content_type=_PROMETHEUS)

    @app.page("/detector/")  # type: ignore[untyped-decorator]
    async def detector(view: View, _request: Request, **_kwargs: Any) -> Response:
        return view.bytes(rule_json, content_type="application/json")
