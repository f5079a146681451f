"""The number of open files that a worker is allowed, and what it needs: said as it gets partitions."""

import subprocess
import sys

import pytest

CHECKED = """
import asyncio, logging, resource
from types import SimpleNamespace
from infra.runtime.kafka import Cluster
from stream_app.ownership import Ownership
from stream_app.settings import Settings
from stream_app.sinks.disabled import NoMirror
from stream_app.state.decided.feed import ControlFeed

async def check():
    return Cluster("one", {{settings.transactions_topic: dict.fromkeys(range(200), 0)}}, {{}})

logging.basicConfig(format="%(levelname)s: %(message)s")
settings = Settings()
ownership = Ownership(settings, check, SimpleNamespace(mirror=NoMirror(), feed=ControlFeed(settings)))
resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard}))

async def acquire_twice():
    await ownership.acquire([])
    await ownership.acquire([])

asyncio.run(acquire_twice())
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
SAID = (
    "WARNING: 1024 files may be open here (ulimit -n), which is enough for about 82 of the 200 partitions; "
    "a worker that has all of them needs 2200\n"
)


@pytest.mark.parametrize(("hard", "said"), [(1024, SAID), (4096, "")])
def test_a_worker_raises_its_limit_and_says_once_what_it_is_not_enough_for(hard: int, said: str) -> None:
    code = CHECKED.format(hard=hard)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == (f"{hard}\n", said)
