"""Labels of a file: each that is new is a decision, and what cannot be used is said with its line."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest
from click.testing import CliRunner, Result

from infra.decisions.history import after
from infra.decisions.label_cli import labels
from infra.decisions.labels import Answer, Asked, LabelOutcome, give_labels
from infra.decisions.publisher import last_decisions
from infra.embedded.cluster import Addresses
from schemas.decision import LABEL
from schemas.labels import TransactionLabel
from tests.support.rows import FLAG, START, Made, made, store, user
from tests.support.services import fresh_database, fresh_topics

PLAIN = made(user(1), 1, merchant_id="bakery")
FLAGGED = made(user(1), 2, flag=FLAG, merchant_id="bakery", after=timedelta(days=40))
NOWHERE = made(user(2), 3)


@pytest.fixture
async def connection(services: Addresses) -> AsyncIterator[asyncpg.Connection]:
    async with fresh_database(services.postgres) as url:
        connection = await asyncpg.connect(url)
        await store(url, [PLAIN, FLAGGED, NOWHERE])
        yield connection
        await connection.close()


def asked(of: Made, *, fraud: bool = True, user_id: str | None = None, dated: bool = True) -> Asked:
    txn = of.txn
    return Asked(txn.id, txn.user_id if user_id is None else user_id, txn.txn_date if dated else None, fraud)


async def given(connection: asyncpg.Connection, *several: Asked) -> list[Answer]:
    return await give_labels(connection, several, "ann", "a test")


async def bodies(connection: asyncpg.Connection) -> list[TransactionLabel]:
    return [msgspec.convert(one.body, TransactionLabel) for one in await after(connection, 0, 100)]


async def test_a_label_says_what_it_is_of_and_whether_the_amount_had_been_flagged(
    connection: asyncpg.Connection,
) -> None:
    answers = await given(connection, asked(PLAIN), asked(FLAGGED), asked(NOWHERE, fraud=False))

    assert answers == [Answer(LabelOutcome.NEW, seq) for seq in (1, 2, 3)]
    assert [(one.merchant_id, one.fraud, one.explained) for one in await bodies(connection)] == [
        ("bakery", True, False),
        ("bakery", True, True),
        ("", False, False),
    ]
    [decision, *_] = await after(connection, 0, 1)
    assert (decision.kind, decision.who, decision.why) == (LABEL, "ann", "a test")


async def test_the_same_again_changes_nothing_and_another_is_a_decision_of_its_own(
    connection: asyncpg.Connection,
) -> None:
    once = await given(connection, asked(PLAIN), asked(PLAIN))
    again = await given(connection, asked(PLAIN), asked(PLAIN, fraud=False), asked(PLAIN))

    assert once == [Answer(LabelOutcome.NEW, 1), Answer(LabelOutcome.KNOWN, 1)]
    assert [one.outcome for one in again] == [LabelOutcome.KNOWN, LabelOutcome.CHANGED, LabelOutcome.CHANGED]
    assert [one.fraud for one in await bodies(connection)] == [True, False, True]
    assert await given(connection, asked(PLAIN)) == [Answer(LabelOutcome.KNOWN, 3)]


async def test_labels_of_nothing_of_others_and_of_several_are_said(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO transactions (id, user_id, amount, currency, txn_date, status, meta_data) "
        "VALUES ($1, $2, 1, 'INR', $3, 'paid', '{}')",
        *(PLAIN.txn.id, user(9), START + timedelta(days=1)),
    )

    answers = await given(
        connection,
        asked(PLAIN, user_id=user(3)),
        Asked(user(77), "", None, fraud=True),
        asked(PLAIN, user_id="", dated=False),
        asked(PLAIN, dated=False),
        asked(FLAGGED, user_id="", dated=False),
    )

    assert [one.outcome for one in answers] == [
        *(LabelOutcome.OF_OTHERS, LabelOutcome.ABSENT, LabelOutcome.AMBIGUOUS),
        *(LabelOutcome.NEW, LabelOutcome.NEW),
    ]


def row(of: Made, label: str, **other: str) -> str:
    txn = of.txn
    cells = {"id": txn.id, "user_id": txn.user_id, "txn_date": txn.txn_date.isoformat(), **other}
    return ";".join([*cells.values(), label])


async def test_a_file_of_labels_is_given_and_published_and_what_is_wrong_is_named(
    services: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "labels.csv"
    lines = [
        "Transaction ID;user_id;txn_date;Label",
        row(PLAIN, "fraud"),
        row(FLAGGED, "0"),
        row(PLAIN, "fraud"),
        row(PLAIN, "legitimate"),
        row(NOWHERE, "1", id=user(77)),
        row(NOWHERE, "1", user_id=user(3)),
        row(NOWHERE, "perhaps"),
        row(NOWHERE, "", id="7"),
    ]
    file.write_text("\n".join(lines))
    async with (
        fresh_topics(services.kafka, partitions=2) as settings,
        fresh_database(services.postgres) as database,
    ):
        connection = await asyncpg.connect(database)
        await store(database, [PLAIN, FLAGGED, NOWHERE])
        for name, value in {
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka,
            "POSTGRES_URL": database,
            "TXNWATCH_APP_ID": settings.app_id,
            "TXNWATCH_CONTROL_TOPIC": settings.control_topic,
        }.items():
            monkeypatch.setenv(name, value)

        first = await asyncio.to_thread(run, str(file))
        again = await asyncio.to_thread(run, str(file), "--who", "bob")

        published = {
            key: decision and decision.seq for key, decision in (await last_decisions(settings)).items()
        }
        who = [one.who for one in await after(connection, 0, 100)]
        await connection.close()
    assert (first.exit_code, first.output.splitlines()) == (
        1,
        [
            "8 labels",
            "2 new",
            "1 another than before: line 5",
            "1 known already",
            "1 of no transaction that is there: line 6",
            "1 of another user's transaction: line 7",
            "2 not readable: lines 8 ('perhaps' is neither fraud nor legitimate), 9 (no label)",
        ],
    )
    assert published == {0: 5, 1: 5}
    assert "2 another than before: lines 2, 5" in again.output
    assert who[:3] != who[3:] == ["bob", "bob"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(labels, arguments)


@pytest.mark.parametrize(
    ("header", "said"),
    [("id,label", "no column txn_date, user_id"), ("id,user_id,txn_date", "no column label; there are: id")],
)
async def test_a_file_without_what_transactions_are_known_by_is_refused(
    services: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str, said: str
) -> None:
    (tmp_path / "labels.csv").write_text(header)
    async with fresh_database(services.postgres) as database:
        monkeypatch.setenv("POSTGRES_URL", database)

        result = await asyncio.to_thread(run, str(tmp_path / "labels.csv"))

    assert result.exit_code == 1
    assert said in result.output
