"""Faust's worker process with a bound on how long stopping may take."""

import gc
import logging
import os
import signal
import threading

import faust

from infra.runtime.logs import RepeatFilter

log = logging.getLogger(__name__)

_EXIT_STUCK = 70  # EX_SOFTWARE
# A batch in flight is tens of thousands of objects without cycles. With Python's default of 700, the cycle
# collector walks over them again and again: a fifth of the worker's time.
_GARBAGE_THRESHOLDS = (200_000, 20, 20)


class BoundedWorker(faust.Worker):  # type: ignore[misc]
    """Ends the process when stopping takes longer than the app's `stop_seconds`.

    Nothing is lost by it: what was not committed is replayed by the next owner.
    """

    def on_setup_root_logger(self, logger: logging.Logger, _level: int) -> None:
        """Limit what aiokafka repeats."""
        logging.getLogger("aiokafka").setLevel(logging.WARNING)
        for handler in logger.handlers:
            handler.addFilter(RepeatFilter(lambda name: name.startswith("aiokafka")))

    async def on_startup_finished(self) -> None:
        """Keep the cycle collector off what a batch is made of, and off what stays until the end."""
        gc.set_threshold(*_GARBAGE_THRESHOLDS)
        gc.freeze()
        await super().on_startup_finished()

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        self._bound_stopping()
        super()._schedule_shutdown(signal)

    async def on_stop(self) -> None:
        """Stop, in a bounded time also after an error."""
        self._bound_stopping()
        await super().on_stop()

    def _bound_stopping(self) -> None:
        timer = threading.Timer(self.app.settings.stop_seconds, _give_up)
        timer.daemon = True
        timer.start()


def _give_up() -> None:
    log.error("stopping took too long: ending the process; unfinished batches will be replayed")
    os._exit(_EXIT_STUCK)
