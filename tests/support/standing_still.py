"""Processes that are there and do nothing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def standing_still(*processes: psutil.Process) -> Iterator[None]:
    """They are stopped while the block runs. One of them may end meanwhile: the others go on all the same."""
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in reversed(processes):
            with suppress(psutil.NoSuchProcess):
                process.resume()
