"""`rules apply --warm` with workers at work: rules know the past from their first verdict on, provably."""

import asyncio
from pathlib import Path

import pytest

from tests.support.installation import Installation, ended, until
from tests.support.traffic import revised, traffic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 3000
RULES = """
[[rules]]
name = "told"
when = 'count("7d") >= 0'
message = '{count("7d")} {max("30d")} {distinct("merchant_id", "24h")} {first_seen("country") ? 1 : 0}'
action = "watch"
"""
TOLD = """
SELECT count(*) FILTER (WHERE seen > 0), count(*) FROM (
    SELECT (meta_data -> 'watched' -> 0 -> 'numbers' ->> 'count("7d")')::int AS seen
    FROM transactions WHERE meta_data ? 'watched'
) AS each
"""


async def test_what_is_filled_is_proven_though_workers_die(
    environment: dict[str, str], tmp_path: Path
) -> None:
    installation = Installation(environment)
    sent = revised(traffic(COUNT, users=400, seed=5), seed=5)
    half, more = len(sent) // 2, len(sent) * 3 // 4
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    await installation.send_transactions(sent[:half])
    with installation.worker(TXNWATCH_BATCH_SIZE="100"):
        await until(installation.finished)
        code, said = await installation.completed("txnwatch", "rules", "apply", str(file), "--warm")
        assert (code, said.count("filled: ")) == (0, 4), said
        await installation.send_transactions(sent[half:more])

        async def works() -> bool:
            return await installation.committed() > half + 200

        await until(works)  # and is killed in the midst of it
    await installation.send_transactions(sent[more:])
    with installation.worker() as worker:
        await until(installation.finished)

        async def is_filled() -> bool:
            records = await installation.read_topic(f"{environment['TXNWATCH_APP_ID']}-windows-changelog")
            ends = {one.partition for one in records if one.key == b"\0decided-warming" and one.value is None}
            return len(ends) == 4

        await until(is_filled)
        assert await ended(worker) == 0

    (code, whole), (_, shown) = await asyncio.gather(
        installation.completed("txnwatch", "replay"), installation.completed("txnwatch", "rules", "show")
    )
    assert code == 0, whole
    assert shown.count("(decision 2, from rows)") == 4
    async with installation.postgres() as connection:
        knowing, told = await connection.fetchrow(TOLD)
    assert told > 500
    assert knowing > told * 0.8  # unfilled, half: the first of each user and currency
