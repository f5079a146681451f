"""What the demo begins ends with it, however it ends; and a folder has one demo at a time."""

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from infra.embedded.processes import ServiceError

_LOCK_SECONDS = 3.0
"""A demo that has been stopped or killed is over by then."""


@asynccontextmanager
async def guarded(folder: Path, say: Callable[[str], None]) -> AsyncIterator[int]:
    """A process group that ends with the block, as do the folder's services: by guard.py, also after a kill.

    Raises:
        ServiceError: Another demo has the folder.
    """
    with _alone(folder) as lock, (folder / "logs" / "guard.log").open("ab") as log:
        guard = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "infra.demo.guard", str(folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            process_group=0,
            pass_fds=(lock,),
        )
        assert guard.stdin is not None  # noqa: S101 - a pipe was asked for
        try:
            yield guard.pid
        finally:
            say("\nstopping")
            guard.stdin.close()
            code = await guard.wait()
            say(_not_ended(folder, code) if code else "everything has stopped")


def _not_ended(folder: Path, code: int) -> str:
    log = folder / "logs" / "guard.log"
    remedy = f"txnwatch services down --datadir {folder} ends the services"
    return f"something may still run: its guard ended with exit code {code}, see {log}; {remedy}"


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """Hold the folder's lock; its descriptor holds it too in a process that inherits it."""
    lock = os.open(folder / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _taken(lock):
            if time.monotonic() > deadline:
                message = f"another demo runs in {folder}: stop it, or give this one another --datadir"
                raise ServiceError(message)
            time.sleep(0.1)
        yield lock
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
