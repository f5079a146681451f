"""Rows of one partition as a worker has stored them, with what was decided while it did."""

from itertools import pairwise
from typing import Any

from infra.decisions.history import Proposal, append
from schemas.decision import RULES
from stream_app.settings import Settings
from stream_app.sinks.postgres import PostgresRows, connect
from tests.support.fakes import FakeRecord
from tests.support.logged_partition import DECIDERS, LoggedPartition
from tests.support.traffic import revised, traffic

RULE = {"name": "several", "when": 'count("1h") >= 3 && amount > mean("7d")'}
BODIES: list[Any] = [{"detector": "odds", "rules": [RULE]}, {"rules": [RULE]}]
SENT = revised(traffic(400, users=7, seed=5), seed=5)
LAST_DECISION = 200


async def decided_rows(database: str) -> Settings:
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
        await rows.hold(0, epoch, DECIDERS.held.encode(), 0)
        async with pool.acquire() as connection:
            for body in BODIES:
                await append(connection, Proposal(RULES, body, "ann", ""))
        for seq, start in installation.world.rows.applied.items():
            await rows.note_applied(0, epoch, [seq], start)
        for start, stop in pairwise([*range(0, end, 64), end]):
            some = [one for one in verdicts if start <= one.offset < stop]
            await rows.write(0, epoch, some, stop)
