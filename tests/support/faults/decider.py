"""Somebody who decides again and again while workers live and die: of every kind, as commands and API do."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from infra.decisions.deciding import decide, unpublished
from infra.decisions.history import Proposal, after, append, find
from infra.decisions.labels import Asked, give_labels
from infra.decisions.lists import change_list, proposals
from infra.decisions.publisher import publish
from infra.decisions.rules_off import turn_off
from infra.decisions.suppressions import suppress as suppress_flags
from infra.decisions.warming import body_of, warming_for
from schemas.decision import RULES, WARM, Decision
from schemas.rules.rule_off import RuleOff
from stream_app.detectors.merchant_labels.runs import decode_run
from stream_app.settings import Settings
from stream_app.state.decided.log import PROGRESS_KEY, Progress
from stream_app.state.merchants import run_key
from tests.support.faults.both_logs import Applied, BothLogs
from tests.support.faults.oracle import Findings
from tests.support.faults.rig import Rig
from tests.support.faults.whims import MERCHANTS, Whims
from tests.support.installation import until
from tests.support.traffic import Sent

_APPLIED = "SELECT partition, seq, from_offset FROM decisions_applied WHERE app_id = $1"
_SOME = """
SELECT id::text, user_id::text, txn_date FROM transactions
WHERE merchant_id IS NOT NULL ORDER BY random() LIMIT $1
"""
_BY = ("ann", "")
_PUBLISH_SECONDS = 60
_PACE = 4
"""How much workers do from one decision to the next, in what they note of themselves: so none comes too soon
on a slow machine, nor too late on a quick one."""


@dataclass(slots=True)
class Decider:
    """Decides by whims; what came of it is held against a replay of both logs."""

    ground: Rig
    whims: Whims
    warms: bool = False
    """Whether features are filled, too, of which the plain loop knows nothing."""
    _settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self._settings = Settings.model_validate(self.ground.environment)

    @property
    def _url(self) -> str:
        return self._settings.postgres.get_secret_value()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Decide all the while."""
        async with background(self.go_on()):
            yield

    async def go_on(self) -> None:
        """Decide for ever, each time that workers have done something since."""
        while True:
            before = len(self.ground.events())
            await self.decide()
            await self.ground.did(before + _PACE)

    async def decide(self) -> None:
        """Decide and publish something."""
        kinds = (self._rules, self._list, self._suppression, self._rule_off, *[self._labels] * 3)
        await self.whims.random.choice([*kinds, *[self._warm] * self.warms])()

    async def decide_rules(self, body: Mapping[str, Any]) -> int:
        """Decide and publish a rule set; its number."""
        proposal = Proposal(RULES, {**body}, *_BY)
        return (await decide(self._settings, self._url, proposal, within=_PUBLISH_SECONDS)).decision.seq

    async def keep(self) -> None:
        """Decide a rule set, and leave it to others to publish it."""
        async with self.ground.postgres() as connection:
            await append(connection, Proposal(RULES, {**self.whims.rule_set()}, *_BY))

    async def label(self, count: int) -> None:
        """Label some of the transactions that have a row and a merchant, and publish that."""
        async with self.ground.postgres() as connection:
            rows = await connection.fetch(_SOME, count)
            asked = [Asked(row["id"], row["user_id"], row["txn_date"], self.whims.fraud()) for row in rows]
            await give_labels(connection, asked, *_BY)
        await unpublished(self._settings, self._url, within=_PUBLISH_SECONDS)

    async def _rules(self) -> None:
        await self.decide_rules(self.whims.rule_set())

    async def _list(self) -> None:
        parts = proposals(*self.whims.list_change(), _BY)
        await change_list(self._settings, self._url, parts, within=_PUBLISH_SECONDS)

    async def _suppression(self) -> None:
        one = self.whims.suppression()
        await suppress_flags(self._settings, self._url, one, _BY, within=_PUBLISH_SECONDS)

    async def _warm(self) -> None:
        topic = self._settings.transactions_topic
        async with self.ground.postgres() as connection:
            newest = await find(connection, RULES)
            warming = newest and await warming_for(connection, topic, newest.seq)
        if warming:
            proposal = Proposal(WARM, body_of(warming), *_BY)
            await decide(self._settings, self._url, proposal, within=_PUBLISH_SECONDS)

    async def _labels(self) -> None:
        await self.label(self.whims.random.randint(1, 3))

    async def _rule_off(self) -> None:
        async with self.ground.postgres() as connection:
            newest = await find(connection, RULES)
        if newest is not None and (name := self.whims.rule_of(newest.body)):
            await turn_off(self._settings, self._url, RuleOff(name, newest.seq, "a whim"), "ann")

    async def holds(self) -> None:
        """Publish what is left, and wait until every partition has applied all."""
        newest = await publish(self._settings, self._url)

        async def everywhere() -> bool:
            records = await self.ground.read_topic(self._settings.changelog_topic)
            notes = {one.partition: one.value for one in records if one.key == PROGRESS_KEY}
            return [Progress.decode(notes.get(number)).seq for number in range(4)] == [newest] * 4

        await until(everywhere, within=300)

    async def applied(self) -> Sequence[Applied]:
        """Each partition, decision and first offset."""
        async with self.ground.postgres() as connection:
            rows = await connection.fetch(_APPLIED, self.ground.environment["TXNWATCH_APP_ID"])
        return [(row["partition"], row["seq"], row["from_offset"]) for row in rows]

    async def made(self) -> dict[int, Decision]:
        """All decisions by number, also those of whoever was cut off after that was kept."""
        made: dict[int, Decision] = {}
        async with self.ground.postgres() as connection:
            while some := await after(connection, len(made), 1000):
                made |= {decision.seq: decision for decision in some}
        return made

    async def findings(self) -> Findings:
        """What of all that was written differs from a replay of both logs."""
        made, applied = await self.made(), await self.applied()
        judge = BothLogs(applied, made)
        findings = await self.ground.audited(judge=judge)
        judge.finish()
        everywhere = {(partition, seq) for partition in range(4) for seq in made}
        found = [((partition, seq), True) for partition, seq, _ in applied]
        findings.compare("decisions", dict.fromkeys(everywhere, True), found)
        await self._compare_log(made, findings)
        await self._compare_runs(judge, findings)
        return findings

    async def _compare_log(self, made: Mapping[int, Decision], findings: Findings) -> None:
        """Each partition of the control topic has each decision once, in order."""
        records = await self.ground.read("TXNWATCH_CONTROL_TOPIC")
        expected = {partition: sorted(made) for partition in range(4)}
        found: dict[int, list[int]] = {partition: [] for partition in expected}
        for record in records:
            found[record.partition].append(Decision.decode(record.value).seq)
        findings.compare("control log", expected, found.items())

    async def _compare_runs(self, judge: BothLogs, findings: Findings) -> None:
        """What the changelog has of merchants is what labels come to."""
        names = {run_key(name): name for name in MERCHANTS}
        records = await self.ground.read_topic(self._settings.changelog_topic)
        folded = {(one.partition, names[one.key]): one.value for one in records if one.key in names}
        runs = {
            (partition, merchant): run
            for partition, held in judge.held.items()
            for merchant, run in held.runs.items()
            if run is not None and merchant in MERCHANTS
        }
        findings.compare("merchants", runs, ((key, decode_run(run or b"")) for key, run in folded.items()))


class Feed:
    """Sends transactions so that some are always waiting, and never many: as much as workers take."""

    def __init__(self, ground: Rig, sent: Sequence[Sent], waiting: int = 400) -> None:
        self._ground, self._rest, self._waiting = ground, [*sent], waiting
        self.count = 0
        """How many were sent."""

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Send all the while."""
        async with background(self._go_on()):
            yield

    async def _go_on(self) -> None:
        while self._rest:
            await self.send(self._waiting // 2)
            await until(self._wants, within=600)

    async def send(self, count: int) -> None:
        """Send the next ones."""
        some, self._rest = self._rest[:count], self._rest[count:]
        self.count += len(some)
        await self._ground.send_transactions(some)

    async def _wants(self) -> bool:
        done = await self._ground.committed_or_nothing()
        return self.count - done <= self._waiting // 2


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have something done beside the block; what it fails at fails the block."""
    task = asyncio.create_task(work)
    try:
        yield
        if task.done():
            await task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
