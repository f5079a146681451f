"""Web views beside Faust's own: the counters for Prometheus."""

from typing import TYPE_CHECKING, Any

from faust.web import Request, Response, View

if TYPE_CHECKING:
    from stream_app.app import ScoringApp

PROMETHEUS = "text/plain; version=0.0.4"


def add_views(app: "ScoringApp") -> None:
    """Register the views with the app's web server."""

    @app.page("/metrics/prometheus")  # type: ignore[untyped-decorator]
    async def metrics(view: View, _request: Request, **_kwargs: Any) -> Response:
        return view.bytes(app.tally.exposition(), content_type=PROMETHEUS)
