"""Errors as `application/problem+json` (RFC 9457), always of one shape."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from infra.runtime.health import DownError

CONTENT_TYPE = "application/problem+json"


class ParameterError(msgspec.Struct, frozen=True):
    """One parameter that was refused, and why, in words for the caller."""

    parameter: str
    detail: str


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every error; `errors` is empty unless parameters were refused."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: Sequence[ParameterError] = ()


class Problem(Exception):  # noqa: N818 - as RFC 9457 calls it
    """Ends a request with an error of this status; `detail` is shown to the caller."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[ParameterError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def response(self) -> web.Response:
        """The answer to send; never stored by a cache on the way."""
        document = ProblemDocument(
            title=HTTPStatus(self.status).phrase, status=self.status, detail=self.detail, errors=self.errors
        )
        return web.Response(
            body=msgspec.json.encode({**msgspec.to_builtins(document), **self.extra}),
            status=self.status,
            content_type=CONTENT_TYPE,
            headers={"Cache-Control": "no-store", **self.headers},
        )


class BadParameters(Problem):
    """422, naming every refused parameter at once."""

    def __init__(self, errors: Sequence[ParameterError]) -> None:
        names = ", ".join(dict.fromkeys(error.parameter for error in errors))
        super().__init__(422, f"Not accepted: {names}.", errors=errors)


class Unavailable(Problem, DownError):  # noqa: N818 - as others are called
    """503: a dependency is down, or not set up; `Retry-After` says when to come back."""

    def __init__(self, detail: str, *, retry_after: int = 5) -> None:
        super().__init__(503, detail, headers={"Retry-After": str(retry_after)})
