"""Every described route with what its description allows and with what it does not, on the running API."""

import asyncio
import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from infra.access.secrets import hashed, new_token
from infra.access.store import NewToken, add_account, add_token
from schemas.access import Scope
from tests.support.api_process import listening
from tests.support.rows import FLAG, START, made, store, user

# Streams never end: their parameters are in tests/api/test_bad_input.py. What a worker is asked for is 503
# while none runs, as here: that is in tests/api/test_rule.py. A rule set is refused unless the request names
# the newest decision, which the one before has made: tests/api/test_rules.py. What is printable in lists, and
# that a suppression names a user or a rule, a description cannot say: tests/api/test_lists.py. Where
# nobody has to log in there are no sessions: these have a run of their own.
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


# Nobody knows a password, and after ten guesses an address has to wait. What is wrong is said before that.
TOKEN = new_token("txn")
SHOWN = ("--header", f"Authorization: Bearer {TOKEN}")
"""For the description alone: what is fuzzed is open, but for tickets."""
LOGIN = """
[parameters]
next = "docs"

[[operations]]
include-operation-id = "session_begin"
checks.positive_data_acceptance.expected-statuses = ["401", "429"]
checks.negative_data_rejection.expected-statuses = ["4xx"]

[[operations]]
include-operation-id = "session_provider_callback"
checks.positive_data_acceptance.expected-statuses = ["401"]
checks.negative_data_rejection.expected-statuses = ["4xx"]
"""
PHASES = "examples,coverage,fuzzing"
OPEN = "^/login|^/session(s|/ticket|/provider/callback)?$"


async def fuzzed(environment: dict[str, str], folder: Path, chosen: str, *options: str) -> str:
    """What the API says of itself, while whatever a fuzzer sends is answered as described."""
    async with listening(environment, folder) as running:
        assert running.process.stderr is not None
        saying = asyncio.create_task(running.process.stderr.read())
        (folder / "schemathesis.toml").write_text(chosen)
        fuzzing = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"), "run", f"{running.url}/openapi.json",
            *options, "--checks", "all",
            "--max-examples", "60", "--seed", "20180401", "--generation-database", "none",
            cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        told, _ = await fuzzing.communicate()
        assert fuzzing.returncode == 0, told.decode()[-5000:]
        running.process.send_signal(signal.SIGTERM)
        said = (await saying).decode()
    assert "422" in said
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if not re.match(r"\d{4}-\d\d-\d\d ", line)] == []
    return said


@pytest.mark.slow
async def test_no_request_makes_it_fail_or_answer_otherwise_than_described(
    environment: dict[str, str], database: str, tmp_path: Path
) -> None:
    ago = datetime.now(UTC) - timedelta(days=1) - START
    flags = [None, FLAG] * 15
    await store(database, [made(user(n % 3), n, after=ago, flag=flag) for n, flag in enumerate(flags)])

    await fuzzed(
        environment, tmp_path, CHOSEN, "--exclude-path-regex", LEFT_OUT, "--phases", f"{PHASES},stateful"
    )


@pytest.mark.slow
async def test_no_login_makes_it_fail_or_lets_anybody_in(
    environment: dict[str, str], database: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database)
    await add_account(connection, "ann", hashed("a password of hers"), [Scope.READ], "test")
    await add_token(connection, NewToken("fuzzer", TOKEN, [Scope.READ], None, None), "test")
    environment |= {
        "TXNWATCH_API_LOGIN": "required", "TXNWATCH_API_RATE": "0",
        "TXNWATCH_OIDC_ISSUER": "http://127.0.0.1:1", "TXNWATCH_OIDC_CLIENT_ID": "txnwatch",
        "TXNWATCH_OIDC_URL": "http://127.0.0.1:1", "TXNWATCH_OIDC_RIGHTS": '{"*": ["read"]}',
    }  # fmt: skip

    said = await fuzzed(
        environment, tmp_path, LOGIN, "--include-path-regex", OPEN, *SHOWN, "--phases", PHASES
    )

    assert "401" in said
    assert await connection.fetchval("SELECT count(*) FROM access_sessions") == 0
    await connection.close()
