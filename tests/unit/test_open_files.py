"""The number of open files that a worker is allowed, and what it needs."""

import subprocess
import sys

import pytest

CHECKED = """
import resource
from stream_app.cli import _check_open_files

resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard}))
_check_open_files(200)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
SAID = (
    "Warning: 1024 files may be open here (ulimit -n), which is enough for about 82 of the 200 partitions; "
    "a worker that has all of them needs 2200\n"
)


@pytest.mark.parametrize(("hard", "said"), [(1024, SAID), (4096, "")])
def test_a_worker_raises_its_limit_and_says_what_it_is_not_enough_for(hard: int, said: str) -> None:
    code = CHECKED.format(hard=hard)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == (f"{hard}\n", said)
