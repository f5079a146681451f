"""`txnwatch replay --from-db`: verdicts are proven from rows alone, with what was decided in between."""

from typing import Any

import asyncpg
import pytest

from stream_app.commands.replay.run import ReplayRequest, Report, replay
from stream_app.settings import Settings
from stream_app.sinks.postgres import PostgresRows, connect
from stream_app.state.decided.deciding import Deciders
from tests.support.decided_rows import SENT, decided_rows
from tests.support.logged_partition import DECIDERS

FLIP = """
UPDATE transactions SET meta_data = meta_data || '{"is_anomaly": true}'
WHERE source_offset = (
    SELECT max(source_offset) FROM transactions
    WHERE NOT (meta_data -> 'is_anomaly')::bool AND source_offset < 300
) RETURNING id::text
"""
SET_RULE = """UPDATE settings_held SET settings = settings || '{"rule": "0a1b2c3d"}'"""


@pytest.fixture
async def scored(database: str) -> Settings:
    return await decided_rows(database)


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


def flip(before: int) -> str:
    """Have the last row before an offset say that it was flagged."""
    return FLIP.replace("source_offset < 300", f"source_offset < {before}")


async def test_where_settings_were_not_kept_a_difference_leaves_nothing_proven(scored: Settings) -> None:
    await executed(scored, "UPDATE settings_held SET from_offset = 150, rows_to = 150")
    assert (await replayed(scored)).counts["unproven"] == 0

    await executed(scored, flip(300))
    report = await replayed(scored)
    assert (report.counts["different"], report.counts["unproven"]) == (1, 0)

    await executed(scored, flip(100))
    report = await replayed(scored)
    assert (report.counts["different"], report.counts["unproven"]) == (0, 2)
    assert {gap.why.partition(",")[0] for gap in report.partitions[0].gaps} == {"settings were not kept yet"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (SET_RULE, "rule 0a1b2c3d of the settings that held then comes to rule"),
        ("UPDATE settings_held SET rows_to = 320", "rows may be by the settings before"),
    ],
)
async def test_where_settings_cannot_be_told_nothing_differs(scored: Settings, change: str, why: str) -> None:
    await executed(scored, change)
    await executed(scored, flip(300))

    report = await replayed(scored)

    assert (report.counts["different"], report.counts["unproven"]) == (0, 1)
    assert any(gap.why.startswith(why) for gap in report.partitions[0].gaps)


async def test_settings_are_kept_where_they_change(scored: Settings) -> None:
    others = Deciders(Settings(detector="odds", _env_file=None))
    started = [(DECIDERS, 300), (others, 300), (DECIDERS, 350), (others, 350), (others, 360)]
    async with connect(scored.postgres.get_secret_value()) as pool:
        rows = PostgresRows(pool, scored.transactions_topic, app_id=scored.app_id, retry_seconds=5)
        for deciders, start in started:
            epoch, *_ = await rows.take_over(0)
            await rows.hold(0, epoch, deciders.held.encode(), start)
            await rows.hold(0, epoch - 1, deciders.held.encode(), 999)  # of a former owner
        kept = await pool.fetch(
            "SELECT from_offset, settings ->> 'rule' FROM settings_held ORDER BY from_offset"
        )

    first, other = DECIDERS.held.rule, others.held.rule
    assert [tuple(row) for row in kept] == [(0, first), (300, other), (350, other)]
