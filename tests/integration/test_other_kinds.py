"""PgBouncer, a Redis Cluster and a Redis Sentinel are refused by name at the start, not found out later."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cli import main
from tests.support.commands import commands
from tests.support.installation import Installation
from tests.support.other_kinds import PGBOUNCER, pgbouncer, redis_of_kind

pytestmark = pytest.mark.slow
SESSION_SETTINGS = (
    "txnwatch.session, application_name, statement_timeout, idle_in_transaction_session_timeout, "
    "idle_session_timeout, lock_timeout, timezone, jit, default_transaction_read_only, tcp_keepalives_idle, "
    "tcp_keepalives_interval, tcp_keepalives_count"
)
WITHOUT_POSTGRES = {"dlq", "ingest", "mapping", "mirror", "produce", "topics"}
"""Groups and commands that ask Kafka or Redis alone."""
SERVING = ["worker", "api"]
KINDS = {"cluster": "leads to a Redis Cluster", "sentinel": "leads to a Redis Sentinel"}
REFUSAL = "a pooler such as PgBouncer is between"


@pytest.fixture(
    params=[("session", ""), ("transaction", ""), ("transaction", SESSION_SETTINGS)],
    ids=["session", "transaction", "ignoring"],
)
def bouncer(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> Iterator[str]:
    """The database through PgBouncer, which refuses a session's settings or, asked to, drops them."""
    if PGBOUNCER is None:
        pytest.skip("PgBouncer is not installed")
    folder = tmp_path / "bouncer"
    folder.mkdir()
    mode, ignored = request.param
    with pgbouncer(database, folder, mode=mode, ignored=ignored) as url:
        yield url


def test_every_command_refuses_pgbouncer(
    bouncer: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable, value in {**environment, "POSTGRES_URL": bouncer}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text("id,user_id,txn_date,label\n")
    (tmp_path / "rules.toml").write_text("")

    said = {}
    for command in commands(main):
        if command.split()[0] not in {*WITHOUT_POSTGRES, *SERVING}:
            said[command] = CliRunner().invoke(main, command.split(), input="a long password\n" * 2).output

    assert {one: line for one, line in said.items() if REFUSAL not in line} == {}


@pytest.mark.parametrize("program", SERVING)
async def test_every_program_refuses_pgbouncer(
    bouncer: str, environment: dict[str, str], program: str
) -> None:
    installation = Installation({**environment, "POSTGRES_URL": bouncer})
    code, said = await installation.completed("txnwatch", program)

    assert code == 1
    assert f"Postgres (POSTGRES_URL): {REFUSAL}" in said.splitlines()[-1]


@pytest.mark.parametrize("program", [["worker"], ["api"], ["mirror", "rebuild"]], ids=" ".join)
@pytest.mark.parametrize("kind", KINDS)
async def test_every_program_refuses_what_is_no_single_redis(
    kind: str, environment: dict[str, str], tmp_path: Path, program: list[str]
) -> None:
    with redis_of_kind(kind, tmp_path) as url:
        installation = Installation({**environment, "REDIS_URL": url})
        code, said = await installation.completed("txnwatch", *program)

    assert code == 1
    assert KINDS[kind] in said.splitlines()[-1]
