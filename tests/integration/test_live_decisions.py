"""Decisions that take effect while a worker runs, each from one offset on."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from infra.decisions.history import Proposal, append
from infra.decisions.publisher import publish
from schemas.decision import RULES, Decision
from schemas.scored import RULE_HEADER
from stream_app.settings import Settings
from tests.support.faults.audit import source
from tests.support.installation import Installation, ended, until
from tests.support.traffic import traffic


@dataclass(frozen=True, slots=True)
class Deciders:
    """An installation, and who decides there."""

    installation: Installation
    settings: Settings

    async def decide(self, body: Mapping[str, Any]) -> Decision:
        """Decide and publish."""
        async with self.installation.postgres() as connection:
            decision = await append(connection, Proposal(RULES, {**body}, "ann", ""))
        await publish(self.settings, self.settings.postgres.get_secret_value())
        return decision

    async def applied(self, seq: int) -> dict[int, int]:
        """By partition, from which offset on the decision holds."""
        async with self.installation.postgres() as connection:
            statement = "SELECT partition, from_offset FROM decisions_applied WHERE seq = $1"
            return dict(await connection.fetch(statement, seq))

    async def holds(self, seq: int) -> dict[int, int]:
        """Wait until it holds in all partitions; from which offset on."""

        async def everywhere() -> bool:
            return len(await self.applied(seq)) == 4

        await until(everywhere)
        return await self.applied(seq)

    async def rule(self) -> dict[str, Any]:
        """What the worker says of its rule."""
        _, text = await self.installation.get("/detector/")
        return dict(json.loads(text))

    async def rules_of_verdicts(self) -> dict[tuple[int, int], str]:
        """The rule that each verdict names, by its transaction's partition and offset."""
        scored = await self.installation.read("TXNWATCH_SCORED_TOPIC")
        return {source(one): dict(one.headers)[RULE_HEADER].decode() for one in scored}


@pytest.fixture
def deciders(environment: dict[str, str]) -> Deciders:
    return Deciders(Installation(environment), Settings.model_validate(environment))


async def test_a_rule_set_that_is_decided_holds_from_one_offset_on(deciders: Deciders) -> None:
    installation = deciders.installation
    await installation.send_transactions(traffic(1000, seed=1))
    with installation.worker() as worker:
        await until(installation.finished)
        before = await deciders.rule()
        await deciders.decide({"detector": "odds"})
        since = await deciders.holds(1)  # also where nothing comes
        now = await deciders.rule()
        await installation.send_transactions(traffic(1000, seed=2))
        await until(installation.finished)
        assert await ended(worker) == 0
    with installation.worker():  # keeps what was decided, whatever its settings say
        await until(lambda: _answers(installation))
        await installation.send_transactions(traffic(100, seed=3))
        await until(installation.finished)
        again = await deciders.rule()

    assert (before["detector"], before["decision"]) == ("rolling_mean", 0)
    assert (now["detector"], now["decision"]) == ("odds", 1)
    assert again == now
    assert sum(since.values()) == 1000
    found = await deciders.rules_of_verdicts()
    assert len(found) == 2100
    expected = {place: (now if place[1] >= since[place[0]] else before)["rule"] for place in found}
    assert found == expected


async def test_a_rule_set_that_does_not_fit_ends_the_worker_with_a_line(deciders: Deciders) -> None:
    installation = deciders.installation
    with installation.command("txnwatch", "worker") as worker:
        await until(lambda: _answers(installation))
        await deciders.decide({"detector": "of_another_package"})
        output, _ = await asyncio.to_thread(worker.communicate, timeout=60)
    last = output.decode().splitlines()[-1]
    await deciders.decide({"detector": "odds"})
    with installation.worker() as worker:
        await deciders.holds(2)
        assert await ended(worker) == 0

    assert worker.returncode == 0
    assert last.startswith("Error: decision 1, the rule set of ann, does not fit this worker: detector:")
    assert set((await deciders.applied(1)).values()) == {0}


async def _answers(installation: Installation) -> bool:
    try:
        return (await installation.get("/detector/"))[0] == 200
    except OSError:
        return False
