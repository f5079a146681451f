"""What ends the demo's processes and services, within two seconds, however the demo itself ends.

`python -m infra.demo.guard FOLDER` reads a pipe whose other end the demo holds: its end is the demo's, also
by `kill -9`. It leads the process group of the demo's children, and holds the demo's lock, so that the next
demo does not begin before all is over. What does not end in time is killed: nothing is lost by that.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from infra.embedded import cluster

_CHILDREN_SECONDS = 0.7
_SERVICES_SECONDS = 0.5
"""Postgres and Valkey need a tenth; Kafka may be killed, as it was with 0.7, and then all took 2 seconds."""


def main() -> None:
    """Wait for the demo's end, and clear away what it began."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + _CHILDREN_SECONDS
    while (left := list(_others())) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cluster.down(Path(sys.argv[1]), patience=_SERVICES_SECONDS)


def _others() -> Iterator[int]:
    """The other processes of the group that still run."""
    for process in psutil.process_iter(["status"]):
        if process.pid != os.getpid() and process.info["status"] != psutil.STATUS_ZOMBIE:
            with suppress(ProcessLookupError):
                if os.getpgid(process.pid) == os.getpgrp():
                    yield process.pid


if __name__ == "__main__":
    main()
