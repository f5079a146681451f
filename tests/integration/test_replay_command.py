"""`txnwatch replay` over real services: decisions arrive while workers are killed, and nothing differs."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from infra.decisions.history import Proposal, append
from infra.decisions.publisher import publish
from schemas.decision import LIST, RULE_OFF, RULES, SUPPRESSION
from schemas.lists import changes
from schemas.rules.rule_off import RuleOff
from schemas.suppressions import Suppression
from stream_app.settings import Settings
from tests.support.installation import Installation, ended, until
from tests.support.traffic import START, revised, traffic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 2000
RULE = {"name": "several", "when": 'count("1h") >= 2 && amount > mean("7d")'}
SENT = revised(traffic(COUNT, seed=7), seed=7)
LISTED = {"name": "listed", "when": 'amount > 20 && in_list("watched", user_id)'}
DECIDED: list[list[tuple[str, Any]]] = [
    [(RULES, {"detector": "odds", "rules": [RULE, LISTED]})],
    [(LIST, part) for part in changes("watched", "put", {one.user_id for one in SENT[::9]})],
    [(SUPPRESSION, Suppression(START + timedelta(minutes=20), "", "several"))],
    [(RULE_OFF, RuleOff("listed", 1, "LookupError: a"))],
    [(RULES, {"detector": "rolling_mean"}), (RULES, {"rules": [RULE]})],
]
UNTOUCHED = (
    "SELECT id::text, user_id::text FROM transactions WHERE NOT meta_data ? 'revision' ORDER BY id LIMIT 1"
)


async def decide(installation: Installation, several: list[tuple[str, Any]]) -> None:
    settings = Settings.model_validate(installation.environment)
    async with installation.postgres() as connection:
        for kind, body in several:
            await append(connection, Proposal(kind, msgspec.to_builtins(body), "ann", ""))
    await publish(settings, settings.postgres.get_secret_value())


async def replayed(installation: Installation, *options: str) -> tuple[int, Any]:
    """The exit code and the report; lines before it say how far it is."""
    code, output = await installation.completed("txnwatch", "replay", "--json", *options)
    return code, json.loads(output.splitlines()[-1])


async def scored_by_workers_that_die(installation: Installation) -> None:
    """Each gets a decision while it works, and is killed; the last one works to the end."""
    for number, several in enumerate(DECIDED):
        await installation.send_transactions(SENT[number :: len(DECIDED)])
        before = await installation.committed()
        with installation.worker(TXNWATCH_BATCH_SIZE="20") as worker:

            async def works(since: int = before) -> bool:
                return await installation.committed() > since

            await until(works)
            await decide(installation, several)
            worker.kill()
    with installation.worker() as worker:
        await until(installation.finished)
        assert await ended(worker) == 0


async def test_nothing_differs_until_a_row_is_changed_which_is_named(environment: dict[str, str]) -> None:
    installation = Installation(environment)
    await scored_by_workers_that_die(installation)

    code, said = await installation.completed("txnwatch", "replay")
    assert code == 0, said
    assert said.splitlines()[-1].split() == ["0", "different"]
    code, of_topic = await replayed(installation)
    assert (code, of_topic["partitions"][0]["gaps"]) == (0, [])
    code, of_rows = await replayed(installation, "--from-db")
    assert (code, of_rows["counts"]) == (0, of_topic["counts"])

    async with installation.postgres() as connection:
        identity, user = await connection.fetchrow(UNTOUCHED)
        changed = "UPDATE transactions SET amount = amount + 0.01 WHERE id = $1"
        await connection.execute(changed, identity)
    (code, report), (of_user, _), (of_other, one) = await asyncio.gather(
        replayed(installation),
        installation.completed("txnwatch", "replay", "--user", user),
        installation.completed("txnwatch", "replay", "--limit", "100", "--user", "0" * 32),
    )
    assert (code, of_user, of_other) == (1, 1, 0), one
    assert report["counts"]["different"] == 1
    [difference] = [one for found in report["partitions"] for one in found["differences"]]
    assert difference["place"]["id"] == identity
    assert [field["name"] for field in difference["fields"]] == ["amount"]
    assert difference["why"] == "the row's content is not that of the record: it was changed in Postgres"


STARTED = [
    {"TXNWATCH_WINDOW_SIZE": "10", "TXNWATCH_FACTOR": "3", "TXNWATCH_WINDOW_MINIMUM": "5"},
    {"TXNWATCH_DETECTOR": "odds", "TXNWATCH_ODDS_PROBABILITY": "0.2", "TXNWATCH_WINDOW_BY": "user"},
    {"TXNWATCH_UNTAUGHT_STATUSES": "paid", "TXNWATCH_SHADOW_DETECTORS": "odds"},
]


async def test_each_verdict_is_proven_by_the_settings_that_held(environment: dict[str, str]) -> None:
    installation, sent = Installation(environment), traffic(1500, users=20, seed=8)
    for number, overrides in enumerate(STARTED):
        await installation.send_transactions(sent[number :: len(STARTED)])
        with installation.worker(**overrides) as worker:
            await until(installation.finished)
            assert await ended(worker) == 0

    for options in ([], ["--from-db"]):
        code, report = await replayed(installation, *options)
        assert (code, report["counts"]) == (0, {"same": 1500}), report
    async with installation.postgres() as connection:
        await connection.execute("DELETE FROM settings_held WHERE from_offset > 0")
    code, output = await installation.completed("txnwatch", "replay")
    assert code == 1, output
