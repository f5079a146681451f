"""Web views beside Faust's own: the counters for Prometheus."""

from collections.abc import Callable
from typing import Any

import faust
from faust.web import Request, Response, View

_PROMETHEUS = "text/plain; version=0.0.4"


def add_views(app: faust.App, exposition: Callable[[], bytes]) -> None:
    """Register the views with the app's web server."""

    @app.page("/metrics/prometheus")  # type: ignore[untyped-decorator]
    async def metrics(view: View, _request: Request, **_kwargs: Any) -> Response:
        return view.bytes(exposition(), content_type=_PROMETHEUS)
