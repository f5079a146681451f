"""Every command that changes something leaves it in the audit trail, with who did it."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner
from pydantic import SecretStr

from infra.access.audit import AuditLine, changes
from infra.cli import main
from infra.decisions.history import DecisionError
from infra.noting import audited, note_if_possible
from infra.runtime.kafka import admin_client, committed_offsets, describe_cluster, is_transient
from infra.runtime.retry import retried
from infra.runtime.settings import Settings
from infra.runtime.this_user import this_user
from tests.support.commands import names_of
from tests.support.installation import until
from tests.support.rows import made, store, user
from tests.support.traffic import traffic

CHANGE_NOTHING = {
    "accounts list": "reads",
    "api": "its routes are in tests/api/test_audit.py; months that it drops in test_partitions.py",
    "audit": "reads",
    "backtest": "reads",
    "demo": "has services of its own",
    "dlq list": "reads",
    "dlq show": "reads",
    "export": "reads",
    "ingest": "data",
    "lists history": "reads",
    "lists show": "reads",
    "mapping check": "reads",
    "mapping guess": "reads",
    "mapping list": "reads",
    "metrics alerts": "prints",
    "metrics dashboard": "prints",
    "partitions ensure": "empty months, which the API makes every hour by itself",
    "produce": "data",
    "replay": "reads",
    "rules check": "reads",
    "rules diff": "reads",
    "rules history": "reads",
    "rules show": "reads",
    "rules suppressions": "reads",
    "services down": "this machine's own services",
    "services status": "reads",
    "services up": "this machine's own services",
    "tokens list": "reads",
    "worker": "data",
}
NOTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "accounts add": ("ann", ("account made ann: read",)),
    "accounts password": ("ann", ("password changed ann",)),
    "accounts rights": ("ann --scope label", ("rights changed ann: label",)),
    "accounts remove": ("ann", ("account removed ann",)),
    "tokens add": ("feed", ("token made feed: read",)),
    "tokens remove": ("feed", ("token removed feed",)),
    "rules apply": ("rules.toml", ("decision 1 on rules",)),
    "rules suppress": ("--rule rent --until 2099-01-01", ("decision 2 on suppression",)),
    "lists put": ("blocked list.txt", ("decision 3 on list blocked",)),
    "lists add": ("blocked bar", ("decision 4 on list blocked",)),
    "lists remove": ("blocked bar", ("decision 5 on list blocked",)),
    "labels": ("labels.csv", ("decision 6 on label {row}",)),
    "partitions drain": ("", ("rows moved to months of their own transactions_2018_04: 1 rows",)),
    "partitions drop": ("--keep 1", ("months dropped transactions_2018_04",)),
    "dlq redrive": ("--all", ("dead letters sent again 1 of {app}.transactions.dlq",)),
    "mirror rebuild": ("", ("mirror rebuilt {app}: 0 windows",)),
    "rows restore": ("", ("rows restore begun {app}", "rows restore done {app}: 0 rows")),
    "state accept": ("", ("state accept begun {app}", "state accept done {app}")),
    "state start-over": ("--yes", ("state start-over begun {app}", "state start-over done {app}")),
    "topics": ("", ("topics made {app}.anomalies",)),
    "repartition": (
        "8", ("repartition begun {app}", "repartition done {app}: 8 partitions, 0 windows moved"),
    ),
}  # fmt: skip
"""Of each command that changes something what it is given, and what is noted of it; in this order."""
OF_ANOTHER_TEST = {"migrate": "test_migrate.py, by the first of its tests"}
PASSWORD = "a password of hers"  # noqa: S105 - of this test's alone


def test_of_every_command_it_is_known_whether_it_changes_something() -> None:
    known = [*CHANGE_NOTHING, *NOTED, *OF_ANOTHER_TEST]

    assert sorted(known) == sorted(names_of(main))


@pytest.fixture
def ready(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation with a row of long ago, a dead letter, and the files that the commands are given."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    row = made(user(1)).txn
    Path("rules.toml").write_text('[[rules]]\nname = "large"\nwhen = "amount > 1000.0"\n')
    Path("list.txt").write_text("kiosk\n")
    label = f"{row.id},{row.user_id},{row.txn_date.isoformat()},fraud"
    Path("labels.csv").write_text(f"id,user_id,txn_date,label\n{label}\n")
    settings = Settings.load()
    asyncio.run(_filled(settings))
    return settings


async def _filled(settings: Settings) -> None:
    await store(settings.postgres.get_secret_value(), [made(user(1))])
    [sent] = traffic(1)
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        await producer.send_and_wait(settings.dlq_topic, sent.value, sent.key)
    async with admin_client(settings, "test") as admin:
        asked = partial(committed_offsets, admin, settings.app_id, settings.transactions_topic)
        # The broker makes the topic that has groups' offsets when it is asked for the first time.
        await retried(asked, is_transient, what="the group", within=30)


def noted(settings: Settings, run: Callable[[], object]) -> list[str]:
    """What of the audit trail came by this, oldest first; all of it is this user's."""
    url = settings.postgres.get_secret_value()
    before = len(asyncio.run(_trail(url)))
    run()
    new = asyncio.run(_trail(url))
    lines = new[: len(new) - before][::-1]
    assert {one.who for one in lines} <= {this_user()}
    return [f"{one.what} {one.whom}".strip() for one in lines]


async def _trail(url: str) -> Sequence[AuditLine]:
    connection = await asyncpg.connect(url)
    try:
        return await changes(connection)
    finally:
        await connection.close()


def run(command: str) -> None:
    result = CliRunner().invoke(main, command.split(), input=PASSWORD)
    assert result.exit_code == 0, (command, result.output)


async def _lose(settings: Settings, topic: str) -> None:
    """Delete a topic, and wait until it is gone."""
    async with admin_client(settings, "test") as admin:
        await admin.delete_topics([topic])

        async def is_gone() -> bool:
            return topic not in (await describe_cluster(admin)).topics

        await until(is_gone)


@pytest.mark.slow
def test_what_a_command_changes_is_noted_with_who_did_it(ready: Settings) -> None:
    for command, (arguments, what) in NOTED.items():
        if command == "topics":
            asyncio.run(_lose(ready, ready.anomalies_topic))
        expected = [one.format(app=ready.app_id, row=made(user(1)).txn.id) for one in what]
        assert noted(ready, partial(run, f"{command} {arguments}")) == expected, command


async def test_how_it_ended_is_noted_too_and_what_cannot_be_noted_is_not_begun(database: str) -> None:
    settings, done = Settings(postgres=SecretStr(database), app_id="shop"), asyncio.Event()

    async def act() -> None:
        done.set()
        raise DecisionError("no")

    with pytest.raises(DecisionError):
        await audited(settings, "state accept", act)
    lines = [(one.what, one.whom) for one in await _trail(database)]
    assert lines == [("state accept ended by DecisionError", "shop"), ("state accept begun", "shop")]

    done.clear()
    away = settings.model_copy(update={"postgres": SecretStr("postgresql://127.0.0.1:1/none")})
    with pytest.raises(ConnectionRefusedError):
        await audited(away, "state accept", act)
    assert not done.is_set()


async def test_what_is_done_and_cannot_be_noted_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(postgres=SecretStr("postgresql://127.0.0.1:1/none"))
    await note_if_possible(settings, "topics made", "transactions")
    assert capsys.readouterr().err == (
        "topics made, which the audit trail does not have: Postgres (POSTGRES_URL): nothing listens at its "
        "address: [Errno 111] Connect call failed ('127.0.0.1', 1)\n"
    )
