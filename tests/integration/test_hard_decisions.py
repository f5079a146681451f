"""Decisions that are large, many, of a later program or go wrong, against a live worker."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer

from infra.decisions.deciding import decide
from infra.decisions.history import Proposal
from schemas.decision import RULE_OFF, RULES, Decision
from stream_app.settings import Settings
from tests.support.installation import Installation, ended, json_of, until
from tests.support.traffic import traffic
from tests.support.with_fragile import LIMIT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PARTITIONS = 4
ENTRIES = 1_000_000
FRAGILE = ("python", "-m", "tests.support.with_fragile")
CONDITIONS = (
    'amount > {0}00 && country == "C{0}"',
    'merchant_id == "m{0}" && amount in [1, {0}]',
    'count("1h") >= {0}000 && amount < {0}',
    'in_list("l{0}", merchant_id) || amount > {0}000',
    'sum("24h") > {0}0000 && currency == "EUR"',
    'score("odds") > {0}000 && status.startsWith("x{0}")',
    'distinct("merchant_id", "24h") > 5{0}',
    'amount > {0} * mean("7d") && first_seen("country")',
)


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


async def decided(installation: Installation, body: Any) -> int:
    """Decide a rule set; its number."""
    settings = Settings.model_validate(installation.environment)
    url = settings.postgres.get_secret_value()
    return (await decide(settings, url, Proposal(RULES, body, "ann", ""), within=60)).decision.seq


async def everywhere(installation: Installation, seq: int) -> None:
    """Wait until it holds in every partition."""

    async def holds() -> bool:
        async with installation.postgres() as connection:
            count = await connection.fetchval("SELECT count(*) FROM decisions_applied WHERE seq = $1", seq)
        return bool(count == PARTITIONS)

    await until(holds, within=240)


async def scored(installation: Installation, count: int, seed: int, start: int = 0) -> float:
    """Send so many and wait until they are scored; how many a second."""
    await installation.send_transactions(traffic(count, seed=seed, start=start))
    began = monotonic()
    await until(installation.finished, within=240)
    return count / (monotonic() - began)


async def flagged_by(installation: Installation) -> Counter[str]:
    """How many flags each rule has made."""
    flags = json_of(await installation.read("TXNWATCH_ANOMALIES_TOPIC"))
    return Counter(reason["rule"] for one in flags for reason in one["meta_data"].get("reasons", ()))


async def replays(installation: Installation, command: Sequence[str] = ("txnwatch",)) -> None:
    """See that every verdict can be proven."""
    code, said = await installation.completed_within(240, *command, "replay")
    assert code == 0, said


def memory_of(process: subprocess.Popen[bytes]) -> int:
    """What a process has in memory, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) // 1000


async def test_a_thousand_rules_are_decided_live_and_the_worker_keeps_up(
    installation: Installation,
) -> None:
    rules = [{"name": f"rule {n}", "when": CONDITIONS[n % 8].format(n)} for n in range(1, 1000)]
    body = {"detector": "odds", "rules": [*rules, {"name": "large", "when": "amount >= 500"}]}

    with installation.worker() as worker:
        before = await scored(installation, 20_000, seed=1)
        began = monotonic()
        await everywhere(installation, await decided(installation, body))
        took = monotonic() - began
        rate = await scored(installation, 20_000, seed=2, start=20_000)
        assert await ended(worker) == 0

    print(f"1,000 rules: {before:.0f}/s, then {rate:.0f}/s; in force after {took:.1f} s")  # noqa: T201
    large = sum(one.hundredths >= LIMIT for one in traffic(20_000, seed=2, start=20_000))
    assert (await flagged_by(installation))["large"] == large
    assert rate > 500
    await replays(installation)


async def test_a_list_of_a_million_holds_within_bounds_of_time_and_memory(
    installation: Installation, tmp_path: Path
) -> None:
    """Half of the users are on it, among as many others as make it a million; after a restart, too."""
    users = sorted({one.user_id for one in traffic(2000, seed=1)})
    listed = {*users[::2]}
    others = (str(UUID(int=number, version=4)) for number in range(ENTRIES - len(listed)))
    file = tmp_path / "blocked.txt"
    file.write_text("\n".join([*others, *listed]))
    rule_set = {"rules": [{"name": "blocked", "when": 'in_list("blocked", user_id)'}]}
    expected = sum(one.user_id in listed for one in traffic(2000, seed=1))

    with installation.worker() as worker:
        await everywhere(installation, await decided(installation, rule_set))
        before, began = memory_of(worker), monotonic()
        put = ("txnwatch", "lists", "put", "blocked", str(file))
        code, said = await installation.completed_within(240, *put)
        assert (code, said.split(": ")[-1]) == (0, f"put {ENTRIES:,}\n"), said
        kept = monotonic() - began
        await everywhere(installation, int(said.split()[1].rstrip(":")))
        held, memory = monotonic() - began, memory_of(worker)
        await scored(installation, 2000, seed=1)
        assert (await flagged_by(installation))["blocked"] == expected
        assert await ended(worker) == 0
    with installation.worker() as worker:
        began = monotonic()
        await scored(installation, 2000, seed=1, start=2000)
        again, memory_again = monotonic() - began, memory_of(worker)
        assert await ended(worker) == 0

    said = (
        f"a list of {ENTRIES:,}: put in {kept:.0f} s, in force after {held:.0f} s, "
        f"{before} MB -> {memory} MB; after a restart {again:.0f} s, {memory_again} MB"
    )
    print(said)  # noqa: T201
    assert (await flagged_by(installation))["blocked"] == 2 * expected
    assert held < 120, said
    assert max(memory, memory_again) - before < 400, said
    await replays(installation)


async def test_a_rule_that_raises_is_off_by_one_decision_and_replay_agrees(
    installation: Installation,
) -> None:
    rules = [{"name": "fails", "when": 'score("fragile") >= 1'}, {"name": "large", "when": "amount >= 500"}]
    body = {"detector": "rolling_mean", "shadow_detectors": "fragile", "rules": rules}
    log = Path(installation.environment["TXNWATCH_DATADIR"]).with_name("worker.log")

    async def is_off() -> bool:
        async with installation.postgres() as connection:
            return bool(await connection.fetchval("SELECT seq FROM decisions WHERE kind = $1", RULE_OFF))

    await decided(installation, body)
    with (
        log.open("wb") as output,
        installation.command(*FRAGILE, "worker", output=output.fileno(), TXNWATCH_BATCH_SIZE="50") as worker,
    ):
        await scored(installation, 1000, seed=1)
        await until(is_off)
        await everywhere(installation, 2)
        before = await flagged_by(installation)
        await scored(installation, 1000, seed=2, start=1000)
        assert await ended(worker) == 0

    after = await flagged_by(installation)
    assert 0 < before["fails"] == after["fails"]
    assert after["large"] == sum(
        one.hundredths >= LIMIT for one in [*traffic(1000, seed=1), *traffic(1000, seed=2, start=1000)]
    )
    assert 'rule "fails" is off by decision 2' in log.read_text()
    async with installation.postgres() as connection:
        assert await connection.fetchval("SELECT count(*) FROM decisions WHERE kind = $1", RULE_OFF) == 1
    await replays(installation, FRAGILE)


async def test_a_decision_of_a_later_program_ends_the_worker_with_a_line(installation: Installation) -> None:
    """Nothing is scored any more: what it says is not known."""
    topic = installation.environment["TXNWATCH_CONTROL_TOPIC"]
    decision = Decision(1, RULES, {}, "ann", "", datetime.now(UTC), format=2).encode()
    with installation.command("txnwatch", "worker") as worker:
        await scored(installation, 100, seed=1)
        async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
            for partition in range(PARTITIONS):
                await producer.send_and_wait(topic, decision, key=b"1", partition=partition)
        output, _ = await asyncio.to_thread(worker.communicate, timeout=60)

    assert worker.returncode > 0
    assert "it is of format 2, and this txnwatch reads up to 1: update it" in output.decode()
    assert "Traceback" not in output.decode()
