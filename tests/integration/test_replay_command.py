"""`txnwatch replay` over real services: decisions arrive while workers are killed, and nothing differs."""

import asyncio
import json
from typing import Any

import pytest

from infra.decisions.history import Proposal, append
from infra.decisions.publisher import publish
from schemas.decision import RULES
from stream_app.settings import Settings
from tests.support.installation import Installation, ended, until
from tests.support.traffic import revised, traffic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 2000
RULE = {"name": "several", "when": 'count("1h") >= 2 && amount > mean("7d")'}
BODIES = [{"detector": "odds", "rules": [RULE]}, {"detector": "rolling_mean"}, {"rules": [RULE]}]
UNTOUCHED = (
    "SELECT id::text, user_id::text FROM transactions WHERE NOT meta_data ? 'revision' ORDER BY id LIMIT 1"
)


async def decide(installation: Installation, body: Any) -> None:
    settings = Settings.model_validate(installation.environment)
    async with installation.postgres() as connection:
        await append(connection, Proposal(RULES, body, "ann", ""))
    await publish(settings, settings.postgres.get_secret_value())


async def scored_by_workers_that_die(installation: Installation) -> None:
    """Each gets a decision while it works, and is killed; the last one works to the end."""
    sent = revised(traffic(COUNT, seed=7), seed=7)
    for number, body in enumerate(BODIES):
        await installation.send_transactions(sent[number :: len(BODIES)])
        before = await installation.committed()
        with installation.worker(TXNWATCH_BATCH_SIZE="20") as worker:

            async def works(since: int = before) -> bool:
                return await installation.committed() > since

            await until(works)
            await decide(installation, body)
            worker.kill()
    with installation.worker() as worker:
        await until(installation.finished)
        assert await ended(worker) == 0


async def test_nothing_differs_until_a_row_is_changed_which_is_named(environment: dict[str, str]) -> None:
    installation = Installation(environment)
    await scored_by_workers_that_die(installation)

    code, whole = await installation.completed("txnwatch", "replay")
    assert code == 0, whole
    assert whole.splitlines()[-1].split() == ["0", "different"]

    async with installation.postgres() as connection:
        identity, user = await connection.fetchrow(UNTOUCHED)
        changed = "UPDATE transactions SET amount = amount + 0.01 WHERE id = $1"
        await connection.execute(changed, identity)
    (code, output), (of_user, _), (of_other, one) = await asyncio.gather(
        installation.completed("txnwatch", "replay", "--json"),
        installation.completed("txnwatch", "replay", "--user", user),
        installation.completed("txnwatch", "replay", "--limit", "100", "--user", "0" * 32),
    )
    report = json.loads(output)
    assert (code, of_user, of_other) == (1, 1, 0), one
    assert report["counts"]["different"] == 1
    [difference] = [one for found in report["partitions"] for one in found["differences"]]
    assert difference["place"]["id"] == identity
    assert [field["name"] for field in difference["fields"]] == ["amount"]
    assert difference["why"] == "the row's content is not that of the record: it was changed in Postgres"
