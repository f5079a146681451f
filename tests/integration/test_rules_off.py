"""Workers that ask for the decision that a rule is off."""

import asyncio

import asyncpg
import pytest

from infra.decisions.history import Proposal, append
from infra.decisions.rules_off import rules_off
from schemas.decision import RULE_OFF, RULES
from stream_app.settings import Settings
from stream_app.state.decided.failing import FailingRules


async def _asked(workers: list[FailingRules], rule: str, rule_set: int) -> None:
    for one in workers:
        one.look({rule: LookupError("no\0thing")}, rule_set)
        one.look({rule: LookupError("again")}, rule_set)
    tasks = [task for one in workers for task in one._asked.values() if task]  # noqa: SLF001 - what is awaited
    await asyncio.gather(*tasks)


async def test_two_workers_that_ask_at_once_get_one_decision(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.model_validate(environment)
    connection = await asyncpg.connect(settings.postgres.get_secret_value())
    try:
        await append(connection, Proposal(RULES, {"rules": [{"name": "a", "when": "true"}]}, "ann", ""))
        await _asked([FailingRules(settings), FailingRules(settings)], "a", 1)
        await append(connection, Proposal(RULES, {}, "ann", ""))
        await _asked([FailingRules(settings)], "b", 1)  # of a rule set that no longer holds

        statement = "SELECT seq FROM decisions WHERE kind = $1"
        assert [row["seq"] for row in await connection.fetch(statement, RULE_OFF)] == [2]
        assert [(one.rule, one.error) for one in await rules_off(connection, 1)] == [
            ("a", "LookupError: nothing")
        ]
        assert await rules_off(connection, 3) == []
    finally:
        await connection.close()
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said.count('rule "a" is off by decision 2') == 1


async def test_without_postgres_it_is_said_and_asked_again(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    dead = {**environment, "POSTGRES_URL": "postgresql://localhost:9/none"}
    failing = FailingRules(Settings.model_validate(dead))
    await _asked([failing], "a", 0)

    assert failing._asked == {}  # noqa: SLF001 - what would keep it from asking
    assert 'rule "a" cannot be turned off yet' in caplog.text
