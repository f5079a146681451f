"""The server below the routes: what is no request is a problem too, and an end lets clients move over."""

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from api.web.middleware import Handler
from api.web.problems import Problem

log = logging.getLogger(__name__)


class Draining:
    """Whether the process ends soon.

    Then it is no longer ready, so that a load balancer leaves it, and it closes each connection after its
    answer, so that clients connect elsewhere. Whatever still comes is served.
    """

    begun = False

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Have the client leave after the answer, once it has begun."""
        response = await handler(request)
        if self.begun:
            response.force_close()
        return response


DRAINING = web.AppKey("draining", Draining)


class Runner(web.AppRunner):
    """aiohttp's, with our connections."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,  # noqa: SLF001 - the options that the runner was made with
        )


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _HttpConnection(self, loop=self._loop, **self._kwargs)


class _HttpConnection(web.RequestHandler):
    """aiohttp's, which answers what its parser refuses in text, with a traceback in the log."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        problem = self._problem(exc)
        log.info("refused from %s: %d %s", request.remote, problem.status, type(exc).__name__)
        response = problem.response()
        response.force_close()
        return response

    def _problem(self, refused: HttpProcessingError) -> Problem:
        if isinstance(refused, LineTooLong):
            limit = refused.args[1]
            if limit == self.max_line_size:
                return Problem(414, f"The address is longer than {limit} bytes.")
            return Problem(431, f"A header, such as Cookie, is longer than {limit} bytes.")
        return Problem(refused.code, f"This is not HTTP: {refused.message.partition(chr(10))[0]}")
