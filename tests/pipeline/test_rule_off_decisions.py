"""A rule that raises on a transaction is off from the decision on, until another rule set is decided."""

import dataclasses

import msgspec
import pytest

from schemas.decision import RULE_OFF
from schemas.rules.rule_off import RuleOff
from stream_app.batch import Batch
from stream_app.settings import Settings
from stream_app.state.decided.deciding import Deciders
from stream_app.state.decided.exceptions import OFF_KEY
from tests.support.fakes import FakeRecord
from tests.support.logged_partition import LoggedPartition
from tests.support.traffic import traffic

RULES = {"rules": [{"name": "a", "when": "amount > 0"}, {"name": "b", "when": "amount > 0"}]}
RECORDS = [FakeRecord(offset, one.key, one.value) for offset, one in enumerate(traffic(30, seed=1))]


def turn_off(installation: LoggedPartition, rule: str, rule_set: int) -> None:
    installation.decide(msgspec.to_builtins(RuleOff(rule, rule_set, "LookupError: a")), RULE_OFF)


async def flagging(installation: LoggedPartition, count: int) -> set[str]:
    """The rules that flag what comes next."""
    before = len(installation.world.kafka.scored)
    await installation.run(RECORDS[: before + count], 5)
    flags = [one.flag for one in installation.world.kafka.scored[before:]]
    assert len(flags) == count
    return {reason.rule for flag in flags if flag for reason in flag.reasons}


async def test_it_is_off_until_another_rule_set_is_decided() -> None:
    installation = LoggedPartition()
    installation.decide(RULES)
    assert await flagging(installation, 10) == {"a", "b"}
    turn_off(installation, "a", 1)
    turn_off(installation, "a", 1)
    assert await flagging(installation, 10) == {"b"}
    installation.decide(RULES)
    turn_off(installation, "b", 1)  # of a rule set that no longer holds
    assert await flagging(installation, 10) == {"a", "b"}


async def test_another_rule_set_leaves_nothing_of_the_former_ones() -> None:
    installation = LoggedPartition(deciders=Deciders(Settings(_env_file=None)))
    installation.decide(RULES)
    turn_off(installation, "a", 1)
    await installation.run(RECORDS[:5], 5)
    assert installation.world.windows.content[OFF_KEY]
    installation.decide(RULES)
    await installation.owner()

    assert installation.world.windows.content[OFF_KEY] is None


async def test_the_pipeline_tells_of_rules_that_raised_and_by_which_decision() -> None:
    """The rule's score is none that can be reckoned with; it does not fire, and the other does."""
    told: list[tuple[list[str], int]] = []
    installation = LoggedPartition()
    installation.decide(
        {
            "detector": "rolling_mean",
            "rules": [
                {"name": "a", "when": 'score("rolling_mean") > 5'},
                {"name": "b", "when": "amount > 0"},
            ],
        }
    )
    owned = await installation.owner()
    detector = owned.decided.deciding.ensemble.all[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(detector), "score_one", lambda *_: (float("inf"), None))
        pipeline = dataclasses.replace(owned.pipeline, see_to=lambda some, seq: told.append(([*some], seq)))
        await pipeline.process(Batch(0, RECORDS[:5]))

    assert told == [(["a"], 1)]
    flags = [one.flag for one in installation.world.kafka.scored]
    assert [[reason.rule for reason in flag.reasons] for flag in flags if flag] == [["b"]] * 5
