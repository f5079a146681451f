"""The fault runs' oracle and the worker's pipeline agree on decisions of every kind, whatever crashes."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schemas.decision import LABEL, LIST, RULE_OFF, RULES, SUPPRESSION, Decision
from schemas.labels import TransactionLabel
from schemas.lists import changes
from schemas.rules.rule_off import RuleOff
from tests.support.fakes import FakeRecord
from tests.support.faults.both_logs import BothLogs
from tests.support.faults.oracle import replay
from tests.support.faults.whims import MERCHANTS, Whims, shopping
from tests.support.logged_partition import STEPS, LoggedPartition
from tests.support.traffic import START

COUNT = 900


@dataclass(slots=True)
class Record(FakeRecord):
    """With what the oracle looks at."""

    partition: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def decide(installation: LoggedPartition, whims: Whims, rule_set: list[Any]) -> None:
    """Add a decision of some kind; `rule_set` has the number and the body of that which holds."""
    kind = whims.random.choice([RULES, LIST, SUPPRESSION, RULE_OFF, *[LABEL] * 3])
    if kind == RULES:
        rule_set[:] = [len(installation.log) + 1, whims.rule_set()]
        installation.decide({**rule_set[1]})
    elif kind == LIST:
        for part in changes(*whims.list_change()):
            installation.decide(msgspec.to_builtins(part), LIST)
    elif kind == SUPPRESSION:
        installation.decide(msgspec.to_builtins(whims.suppression()), SUPPRESSION)
    elif kind == LABEL:
        date = START + timedelta(days=whims.random.randint(-3, 0))
        merchant = whims.random.choice(MERCHANTS)
        label = TransactionLabel("", date, "", merchant, whims.fraud(), explained=False)
        installation.decide(msgspec.to_builtins(label), LABEL)
    elif name := whims.rule_of(rule_set[1]):
        installation.decide(msgspec.to_builtins(RuleOff(name, rule_set[0], "")), RULE_OFF)


@pytest.mark.parametrize("seed", range(2))
async def test_every_verdict_is_that_of_a_plain_loop_over_both_logs(seed: int) -> None:
    sent, installation, rule_set = shopping(COUNT, seed), LoggedPartition(), [0, {}]
    whims = Whims(seed, sent)
    records = [Record(offset, one.key, one.value) for offset, one in enumerate(sent)]
    for upto in range(20, len(records), 20):
        decide(installation, whims, rule_set)
        if whims.random.random() < 0.4:
            await installation.crash(records[:upto], whims.random.choice(STEPS), 20)
        await installation.run(records[:upto], whims.random.randint(5, 30))
    await installation.run(records, 30)

    decisions = {one.seq: one for one in (Decision.decode(record.value) for record in installation.log)}
    applied = [(0, seq, start) for seq, start in installation.world.rows.applied.items()]
    expected = replay(records, BothLogs(applied, decisions)).scored
    scored = {one.offset: msgspec.json.decode(one.encoded()[0]) for one in installation.world.kafka.scored}
    assert scored == {offset: row for (_, offset), row in expected.items()}
    said = Counter(name for row in scored.values() for name in row["meta_data"])
    assert min(said[name] for name in ("reasons", "watched", "allowed", "shadow", "revision")) > 0, said
