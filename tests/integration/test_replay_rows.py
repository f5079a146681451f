"""`txnwatch replay --from-db`: verdicts are proven from rows alone, with what was decided in between."""

from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from infra.decisions.history import Proposal, append
from schemas.decision import RULES
from stream_app.commands.replay.run import ReplayRequest, Report, replay
from stream_app.settings import Settings
from stream_app.sinks.postgres import PostgresRows, connect
from tests.support.fakes import FakeRecord
from tests.support.logged_partition import LoggedPartition
from tests.support.traffic import revised, traffic

RULE = {"name": "several", "when": 'count("1h") >= 3 && amount > mean("7d")'}
BODIES: list[Any] = [{"detector": "odds", "rules": [RULE]}, {"rules": [RULE]}]
SENT = revised(traffic(400, users=7, seed=5), seed=5)
LAST_DECISION = 200
FLIP = """
UPDATE transactions SET meta_data = meta_data || '{"is_anomaly": true}'
WHERE source_offset = (
    SELECT max(source_offset) FROM transactions
    WHERE NOT (meta_data -> 'is_anomaly')::bool AND source_offset < 300
) RETURNING id::text
"""


@pytest.fixture
async def scored(database: str) -> Settings:
    """Rows of one partition, decisions, and where these held; transactions come again late, too."""
    again = SENT[:5]
    sent = [FakeRecord(offset, one.key, one.value) for offset, one in enumerate([*SENT, *again])]
    installation = LoggedPartition()
    for end, body in zip((100, LAST_DECISION), BODIES, strict=True):
        await installation.run(sent[:end], 30)
        installation.decide(body)
    await installation.run(sent, 30)
    settings = Settings(_env_file=None, POSTGRES_URL=database)
    await _stored(settings, installation, len(sent))
    return settings


async def _stored(settings: Settings, installation: LoggedPartition, end: int) -> None:
    verdicts = installation.world.kafka.scored
    async with connect(settings.postgres.get_secret_value()) as pool:
        rows = PostgresRows(pool, settings.transactions_topic, app_id=settings.app_id, retry_seconds=5)
        epoch, *_ = await rows.take_over(0)
        async with pool.acquire() as connection:
            for body in BODIES:
                await append(connection, Proposal(RULES, body, "ann", ""))
        for seq, start in installation.world.rows.applied.items():
            await rows.note_applied(0, epoch, [seq], start)
        for start, stop in pairwise([*range(0, end, 64), end]):
            some = [one for one in verdicts if start <= one.offset < stop]
            await rows.write(0, epoch, some, stop)


async def executed(settings: Settings, statement: str) -> Any:
    connection = await asyncpg.connect(settings.postgres.get_secret_value())
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def replayed(settings: Settings, **asked: Any) -> Report:
    return await replay(settings, ReplayRequest(from_db=True, **asked))


async def test_nothing_differs_and_every_verdict_is_compared(scored: Settings) -> None:
    report = await replayed(scored)

    [found] = report.partitions
    assert (found.differences, found.gaps, found.decision) == ([], [], 2)
    assert report.counts["again"] > 0
    assert report.counts["revised"] > 20
    assert report.counts.total() == await executed(
        scored, "SELECT (SELECT count(*) FROM transactions) + (SELECT count(*) FROM transactions_replaced)"
    )
    of_one = await replayed(scored, user=SENT[0].user_id)
    assert 0 < of_one.counts.total() < report.counts.total()
    assert not of_one.differs


async def test_a_verdict_that_was_changed_is_named_with_the_decision_that_held(scored: Settings) -> None:
    changed = await executed(scored, FLIP)

    report = await replayed(scored)

    [one] = [one for found in report.partitions for one in found.differences]
    assert (one.place.id, one.by) == (changed, 2)
    assert [(field.name, field.given, field.replayed) for field in one.fields] == [
        ("meta_data.is_anomaly", True, False)
    ]


async def test_without_the_first_rows_what_differs_proves_nothing_and_that_is_said(scored: Settings) -> None:
    await executed(
        scored, "UPDATE transactions SET source = NULL, source_offset = NULL WHERE source_offset < 100"
    )
    await executed(scored, "UPDATE sink_offsets SET kept_from = 100")
    await executed(scored, FLIP)

    report = await replayed(scored)

    assert not report.differs
    assert report.counts["unproven"] > 0
    [gap] = report.partitions[0].gaps
    assert gap.why.startswith("rows of what came before 100 were dropped, or do not say where they came from")


async def test_rows_of_a_topic_that_was_scored_anew_are_others(scored: Settings) -> None:
    await executed(scored, "UPDATE sink_offsets SET source = DEFAULT")

    report = await replayed(scored)

    assert report.counts.total() == 0
