"""Bounded waits for Kafka: said once while they last, and given up with one line."""

import logging
import time

from aiokafka.errors import KafkaError

log = logging.getLogger(__name__)

_SAY_SECONDS = 10.0


class KafkaSilentError(KafkaError):  # type: ignore[misc]
    """Kafka has not done for too long what was waited for; the message says what, and how long."""


class Patience:
    """How long something has not happened, and how long that may last: `TXNWATCH_RETRY_SECONDS`, mostly."""

    def __init__(self, what: str, seconds: float) -> None:
        """`what` is a sentence without its end: "partition 3: no fetch has succeeded"."""
        self._what = what
        self._seconds = seconds
        self._said = False
        self._since = time.monotonic()

    def renew(self) -> None:
        """Begin again: it has happened."""
        if self._said:
            log.info("%s for %.0f s: over", self._what, time.monotonic() - self._since)
        self._said, self._since = False, time.monotonic()

    def check(self, why: str = "") -> None:
        """Say once that it lasts.

        Raises:
            KafkaSilentError: It has lasted too long.
        """
        lasted = time.monotonic() - self._since
        words = f"{self._what} for {lasted:.0f} s{why}"
        if lasted > self._seconds:
            raise KafkaSilentError(f"{words} (TXNWATCH_RETRY_SECONDS is {self._seconds:g})")
        if lasted > min(_SAY_SECONDS, self._seconds / 2) and not self._said:
            self._said = True
            log.warning("%s; waiting for at most %g s", words, self._seconds)
