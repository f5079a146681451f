"""Faust's worker process: its log, a bound on how long stopping may take, and how it ends."""

import asyncio
import logging
import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import click
import faust

from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.garbage import collect_seldom
from infra.runtime.logs import start_logging
from infra.runtime.services import KAFKA, POSTGRES, REDIS
from schemas.masking import without_data

log = logging.getLogger(__name__)

_EXIT_STUCK = 70  # EX_SOFTWARE
# A batch in flight is tens of thousands of objects without cycles. With Python's default of 700, the cycle
# collector walks over them again and again: a fifth of the worker's time.
_YOUNG_OBJECTS = 200_000


# Faust's and mode's messages begin with the service that they are of: `[^---PartitionRecovery]: `.
_SERVICE = re.compile(r"^\[\^[^\]]*(\[\.\])?[^\]]*\]: ")


class BoundedWorker(faust.Worker):  # type: ignore[misc]
    """Ends the process when stopping takes longer than the app's `stop_seconds`.

    Nothing is lost by it: what was not committed is replayed by the next owner.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.spinner = None  # it would write to the terminal's cursor

    def execute_from_commandline(self) -> NoReturn:
        """Run until stopped; what is wrong outside the program is said in one last line."""
        try:
            with ending_in_one_line(StopError, POSTGRES, KAFKA, REDIS, OSError):
                self._run()
        except click.ClickException as error:
            log.debug("the error in full", exc_info=error.__cause__)
            error.show()
            sys.exit(error.exit_code)
        sys.exit()

    def _run(self) -> None:
        self._starting_fut = self.loop.create_task(self.start())
        try:
            self.loop.run_until_complete(self._starting_fut)
        except asyncio.CancelledError:
            log.debug("stopped while starting")
        finally:
            self._starting_fut.cancel()
            self.on_worker_shutdown()
            self.stop_and_shutdown()

    def _setup_logging(self) -> None:
        path = Path(self.logfile) if self.logfile else None
        settings = self.app.settings
        if self.loglevel:
            settings = settings.model_copy(update={"log_level": str(self.loglevel).upper()})
        start_logging(settings, _in_a_line, path=path)

    async def on_startup_finished(self) -> None:
        """Keep the cycle collector off what a batch is made of, and off what stays until the end."""
        collect_seldom(_YOUNG_OBJECTS)
        log.info("Worker ready")

    def _schedule_shutdown(self, number: signal.Signals) -> None:
        """At the first SIGTERM, go on for a moment without being ready."""
        is_first = number == signal.SIGTERM and not self.app.is_stopping
        seconds, self.app.is_stopping = self.app.settings.drain_seconds if is_first else 0, True
        log.info("%s: not ready any more, stopping in %g s", number.name, seconds)
        self.loop.call_later(seconds, self._end, number)

    def _end(self, number: signal.Signals) -> None:
        self._bound_stopping()
        super()._schedule_shutdown(number)

    async def on_stop(self) -> None:
        """Stop, in a bounded time also after an error."""
        self._bound_stopping()
        await super().on_stop()

    def _bound_stopping(self) -> None:
        timer = threading.Timer(self.app.settings.stop_seconds, _give_up)
        timer.daemon = True
        timer.start()


def _in_a_line(record: logging.LogRecord) -> bool:
    """Take what a service says of itself as Faust's, and without a traceback, which comes once at the end."""
    if service := _SERVICE.match(text := record.getMessage()):
        said = text[service.end() :].strip()
        record.name, record.msg, record.args = "faust", without_data(said) if record.exc_info else said, None
        record.exc_info = None
    return True


def _give_up() -> None:
    log.error("stopping took too long: ending the process; unfinished batches will be replayed")
    os._exit(_EXIT_STUCK)
