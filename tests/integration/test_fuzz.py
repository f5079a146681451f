"""Every described route with what its description allows and with what it does not, on the running API."""

import asyncio
import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.api_process import listening
from tests.support.rows import FLAG, START, made, store, user

# Streams never end: their parameters are in tests/api/test_bad_input.py. What a worker is asked for is 503
# while none runs, as here: that is in tests/api/test_rule.py. A rule set is refused unless the request names
# the newest decision, which the one before has made: tests/api/test_rules.py. What is printable in lists, and
# that a suppression names a user or a rule, a description cannot say: tests/api/test_lists.py. Nobody
# has to log in here, and each guess takes a quarter of a second: tests/api/test_access.py.
LEFT_OUT = "^/sse/|^/dashboard/data/(rule|flags_from)$|^/rules$|^/lists/|^/suppressions$|^/login$|^/session"
# A description cannot say that a cursor is signed, that no range ends before it starts, and that the last row
# of CSV has no link. So the fuzzer does not choose these, and every other request that it makes is accepted.
# Nor can it say which dates the calendar has, or that of an array what is good is accepted: what is posted is
# refused or not. No worker runs, so a verdict would be waited for in vain.
CHOSEN = """
[parameters]
cursor = ""
format = "json"
to_date = "9999-12-31T00:00:00Z"
max_amount = "999999999999999999.99"
wait = "0s"

[[operations]]
include-operation-id = "transactions_post"
checks.positive_data_acceptance.expected-statuses = ["2xx", "422"]
checks.negative_data_rejection.expected-statuses = ["2xx", "4xx"]
"""


@pytest.mark.slow
async def test_no_request_makes_it_fail_or_answer_otherwise_than_described(
    environment: dict[str, str], database: str, tmp_path: Path
) -> None:
    ago = datetime.now(UTC) - timedelta(days=1) - START
    flags = [None, FLAG] * 15
    await store(database, [made(user(n % 3), n, after=ago, flag=flag) for n, flag in enumerate(flags)])
    async with listening(environment, tmp_path) as running:
        assert running.process.stderr is not None
        saying = asyncio.create_task(running.process.stderr.read())
        (tmp_path / "schemathesis.toml").write_text(CHOSEN)
        fuzzing = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"), "run", f"{running.url}/openapi.json",
            "--exclude-path-regex", LEFT_OUT, "--checks", "all",
            "--phases", "examples,coverage,fuzzing,stateful",
            "--max-examples", "60", "--seed", "20180401", "--generation-database", "none",
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        told, _ = await fuzzing.communicate()
        assert fuzzing.returncode == 0, told.decode()[-5000:]
        running.process.send_signal(signal.SIGTERM)
        said = (await saying).decode()
    assert "422" in said
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line)] == []
