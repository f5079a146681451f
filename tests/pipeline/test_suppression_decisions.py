"""Suppressions that are decided while rules and detectors flag."""

from datetime import datetime, timedelta
from typing import Any

from schemas.decision import SUPPRESSION
from stream_app.state.decided.exceptions import SUPPRESSIONS_KEY
from tests.support.fakes import FakeRecord
from tests.support.logged_partition import LoggedPartition
from tests.support.traffic import START, traffic

RULES = {"rules": [{"name": "all", "when": "amount > 0"}]}
SENT = traffic(200, users=2, seed=1)
USER = (SENT[0].key or b"").decode()
MIDDLE = START + timedelta(seconds=100)


def records() -> list[FakeRecord]:
    return [FakeRecord(offset, one.key, one.value) for offset, one in enumerate(SENT)]


def suppressed(installation: LoggedPartition, until: datetime | None, **of: str) -> None:
    body: dict[str, Any] = {"until": until and until.isoformat(), **of}
    installation.decide(body, SUPPRESSION)


async def verdicts(installation: LoggedPartition) -> list[Any]:
    await installation.run(records(), 40)
    return installation.world.kafka.scored


async def test_a_users_flags_are_watched_until_the_date_by_rules_and_detectors() -> None:
    installation = LoggedPartition()
    installation.decide(RULES)
    suppressed(installation, MIDDLE, user_id=USER)

    for one in await verdicts(installation):
        held = one.transaction.user_id == USER and one.transaction.txn_date < MIDDLE
        assert (one.flag is None) == held
        assert (one.beside or {}).keys() == ({"watched"} if held else set())


async def test_one_of_a_rule_is_ended_and_another_takes_its_place() -> None:
    installation = LoggedPartition()
    installation.decide(RULES)
    suppressed(installation, MIDDLE, rule="all")
    suppressed(installation, START, rule="all")
    assert all(one.flag for one in await verdicts(installation))

    suppressed(installation, MIDDLE, rule="all")
    suppressed(installation, None, rule="all")
    owned = await installation.owner()

    assert owned.decided.store.note(0, SUPPRESSIONS_KEY) == b"[]"
    assert owned.decided.deciding.ensemble.rules


async def test_without_rules_a_detectors_flag_is_watched_and_the_rule_named_as_before() -> None:
    plain, installation = LoggedPartition(), LoggedPartition()
    suppressed(installation, datetime.fromisoformat("2100-01-01T00:00:00Z"), user_id=USER)
    flags = [one.flag and one.transaction.user_id != USER for one in await verdicts(plain)]
    found = await verdicts(installation)

    assert any(one.flag for one in plain.world.kafka.scored if one.transaction.user_id == USER)
    assert [bool(one.flag) for one in found] == [*map(bool, flags)]
    assert {*installation.world.kafka.rules} == {*plain.world.kafka.rules}
    suppressed(installation, None, user_id=USER)
    owned = await installation.owner()
    assert owned.decided.deciding.scorer is not None
    assert owned.decided.deciding.ensemble.rules is None
