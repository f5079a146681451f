"""A replay gives the verdicts that were given, with decisions at any offsets and crashes at any step."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime, timedelta
from itertools import chain, groupby, product
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.decision import LABEL, LIST, RULE_OFF, RULES, SUPPRESSION, WARM
from schemas.labels import TransactionLabel
from schemas.lists import Change, changes
from schemas.rules.features import Feature
from schemas.rules.kept import features_of
from schemas.rules.rule_off import RuleOff
from schemas.rules.rule_set import RuleSpec
from schemas.rules.warming import Warming
from schemas.suppressions import Suppression
from stream_app.commands.replay.differences import Gap, Mismatch, Origin, Pair, PartitionFindings
from stream_app.commands.replay.partition import Due, DueDecisions, DueSettings, PartitionReplay
from stream_app.commands.replay.past import ReplayedPast
from stream_app.commands.replay.rows import ComparedRows
from stream_app.scoring import Verdict
from stream_app.settings import Settings
from stream_app.state.decided.deciding import Deciders
from stream_app.state.verdict_settings import VerdictSettings
from tests.support.fakes import FakeRecord, FakeWindows
from tests.support.logged_partition import DECIDERS, STEPS, LoggedPartition
from tests.support.traffic import START, revised, traffic

MERCHANTS = ["bakery", "cinema"]
RULE = {
    "name": "several",
    "when": 'count("1h") >= 2 && distinct("merchant_id", "24h") > 1',
    "message": '{count("1h")} in an hour',
}


def label(merchant: str, days_ago: int) -> dict[str, Any]:
    """A fraud there."""
    one = TransactionLabel("", START - timedelta(days_ago), "", merchant, fraud=True, explained=False)
    body: dict[str, Any] = msgspec.to_builtins(one)
    return body


def put(change: Change, *entries: str) -> list[tuple[str, dict[str, Any]]]:
    """A change of the list that a rule asks for."""
    return [(LIST, msgspec.to_builtins(part)) for part in changes("watched", change, entries)]


def suppressed(rule: str, hours: int, user_id: str = "") -> tuple[str, dict[str, Any]]:
    """Flags are watched before a date among those of the transactions."""
    one = Suppression(START + timedelta(hours=hours), user_id, rule)
    return SUPPRESSION, msgspec.to_builtins(one)


def off(rule: str, rule_set: int) -> tuple[str, dict[str, Any]]:
    return RULE_OFF, msgspec.to_builtins(RuleOff(rule, rule_set, "LookupError: a"))


LISTED = {"name": "listed", "when": 'in_list("watched", merchant_id)'}
BODIES: list[tuple[str, dict[str, Any]]] = [
    (RULES, {"detector": "odds", "rules": [RULE]}),
    (RULES, {"detector": "rolling_mean"}),
    (RULES, {"detector": "merchant_labels", "rules": [{**RULE, "mode": "shadow"}]}),
    (RULES, {"rules": [RULE, {"name": "small", "when": "amount < 50", "action": "allow"}]}),
    *((LABEL, label(merchant, day)) for merchant in MERCHANTS for day in (9, 8)),
    (RULES, {"rules": [RULE, LISTED]}),
    *put("put", MERCHANTS[0]),
    *put("add", *MERCHANTS),
    *put("remove", MERCHANTS[0]),
    suppressed("several", hours=1),
    suppressed("listed", hours=-1),
    *(off(rule, number) for rule in ("several", "listed") for number in range(1, 5)),
]


def records(count: int, seed: int) -> list[FakeRecord]:
    """With revisions and duplicates, at merchants in turn."""
    sent = revised(traffic(count, users=3, seed=seed), seed=seed)
    found = []
    for offset, one in enumerate(sent):
        value = msgspec.json.decode(one.value) | {"merchant_id": MERCHANTS[len(one.value) % 2]}
        found.append(FakeRecord(offset, one.key, msgspec.json.encode(value)))
    return found


class StoredRows:
    """What Postgres compares, with rows as a worker has stored them."""

    def __init__(self, stored: dict[tuple[str, datetime, str], bytes]) -> None:
        self.stored = stored

    async def different(self, verdicts: Sequence[Verdict]) -> dict[int, Pair]:
        found = dict[int, Pair]()
        for place, verdict in enumerate(verdicts):
            one, row = verdict.transaction, verdict.encoded()[0]
            there = self.stored.get((one.id, one.txn_date, one.user_id))
            if there != row:
                found[place] = msgspec.json.decode(there) if there else None, msgspec.json.decode(row)
        return found


async def fetches(arriving: Sequence[FakeRecord], size: int) -> AsyncIterator[Sequence[FakeRecord]]:
    for start in range(0, len(arriving), size):
        yield arriving[start : start + size]


async def due(installation: LoggedPartition, started: Sequence[DueSettings]) -> AsyncGenerator[Due, None]:
    """What was decided, and the settings of workers that began somewhere."""
    held = sorted(installation.world.rows.applied.items())
    found: list[Due] = [*started]
    for start, several in groupby(held, lambda one: one[1]):
        log: list[Any] = [installation.log[seq - 1] for seq, _ in several]
        found.append(DueDecisions(start, log))
    for one in sorted(found, key=lambda one: one.from_offset):
        yield one


async def replayed(
    installation: LoggedPartition,
    arriving: Sequence[FakeRecord],
    size: int,
    *,
    begins: int = 0,
    gaps: Sequence[Gap] = (),
    started: Sequence[DueSettings] = (),
) -> PartitionFindings:
    """What a replay finds beside the rows."""
    store: Any = FakeWindows(lambda _: None)
    past = ReplayedPast(START - timedelta(days=400))
    findings = PartitionFindings(0, begins, len(arriving), gaps=[*gaps])
    rows = ComparedRows(StoredRows(installation.world.rows.stored), store, {0: findings})
    deciders = Deciders(Settings(_env_file=None))  # those of another log know other lists by the same numbers
    replay = PartitionReplay(0, store, deciders, rows, due(installation, started), past)
    async for _ in replay.run(fetches(arriving[begins:], size)):
        pass
    rows.finish(whole=True)
    past.close()
    assert sum(findings.counts.values()) == rows.compared
    return findings


CRASHES = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(1, 40), st.lists(st.sampled_from(BODIES), max_size=3)),
    max_size=6,
)


@settings(max_examples=15)
@given(CRASHES, st.integers(1, 60), st.integers(0, 2**32))
async def test_nothing_differs_whatever_was_decided_and_wherever_workers_died(
    crashes: list[tuple[str, int, list[tuple[str, dict[str, Any]]]]], size: int, seed: int
) -> None:
    installation, arriving = LoggedPartition(), records(120, seed)
    for step, batch_size, bodies in crashes:
        for kind, body in bodies:
            installation.decide(body, kind)
        await installation.crash(arriving, step, batch_size)
    await installation.run(arriving, 30)

    findings = await replayed(installation, arriving, size)

    assert findings.differences == []
    explained = findings.counts["same"] + findings.counts["revised"] + findings.counts["again"]
    assert explained == len(installation.world.kafka.scored)


TOLD = [
    {
        "name": "told",
        "when": "amount > 0",
        "action": "watch",
        "message": "".join(f"{{{feature}}} " for feature in features),
    }
    for features in (
        ('count("1h")', 'max("7d")', 'distinct("merchant_id", "24h")'),
        ('sum("30d")', 'first_seen("merchant_id") ? 1 : 0', "hours_since_last", 'max("24h")'),
        ('count("1h")', 'mean("90d")'),
    )
]


def asked_for(rule: dict[str, str]) -> frozenset[Feature]:
    return features_of([msgspec.convert(rule, RuleSpec)])


SINCE = [START - timedelta(days=300), START + timedelta(seconds=20), START - timedelta(days=2)]
WARMINGS = [
    [(RULES, {"rules": [rule]}), (WARM, msgspec.to_builtins(Warming([*asked_for(rule)], since)))]
    for rule, since in product(TOLD, SINCE)
]
FILLINGS = st.lists(st.sampled_from(WARMINGS), max_size=2)


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.sampled_from([*STEPS, "past"]), st.integers(1, 40), FILLINGS), max_size=6),
    st.integers(1, 60),
    st.integers(0, 2**32),
)
async def test_features_that_are_filled_come_to_the_same_wherever_workers_died(
    crashes: list[tuple[str, int, list[list[tuple[str, dict[str, Any]]]]]], size: int, seed: int
) -> None:
    installation, arriving = LoggedPartition(), records(160, seed)
    for step, batch_size, several in crashes:
        for kind, body in chain.from_iterable(several):
            installation.decide(body, kind)
        await installation.crash(arriving, step, batch_size)
    await installation.run(arriving, 30)

    findings = await replayed(installation, arriving, size)

    assert findings.differences == []


@pytest.mark.parametrize("place", range(len(TOLD)))
async def test_filled_features_are_as_if_they_had_always_been_kept(place: int) -> None:
    sent = unrevised(records(300, seed=8))
    arriving = [FakeRecord(offset, one.key, one.value) for offset, one in enumerate(sent)]
    (_, rules), (_, warming) = WARMINGS[place * len(SINCE)]
    always, later = LoggedPartition(), LoggedPartition()
    always.decide(rules)
    await always.run(arriving, 30)
    await later.run(arriving[:90], 30)
    later.decide(rules)
    later.decide(warming, WARM)
    await later.run(arriving, 25)

    whole, filled = always.world.kafka.scored, later.world.kafka.scored
    assert [one.encoded() for one in filled[90:]] == [one.encoded() for one in whole[90:]]
    assert all(one.beside for one in filled[90:])


def unrevised(arriving: Sequence[FakeRecord]) -> list[FakeRecord]:
    """The first of each id: rows know the newest content, and features the first."""
    return [*{msgspec.json.decode(one.value or b"")["id"]: one for one in reversed(arriving)}.values()][::-1]


async def decided_in_the_middle() -> tuple[LoggedPartition, list[FakeRecord]]:
    installation, arriving = LoggedPartition(), records(120, seed=1)
    await installation.run(arriving[:60], 30)
    installation.decide(BODIES[0][1])
    await installation.run(arriving, 30)
    return installation, arriving


async def test_a_decision_at_another_offset_gives_other_verdicts() -> None:
    installation, arriving = await decided_in_the_middle()
    assert installation.world.rows.applied == {1: 60}
    installation.world.rows.applied[1] = 0

    findings = await replayed(installation, arriving, 50)

    assert findings.counts["different"] > 0
    assert all(one.place.offset < 60 for one in findings.differences)


async def test_a_changed_and_a_deleted_row_are_named_and_nothing_else() -> None:
    installation, arriving = await decided_in_the_middle()
    stored = installation.world.rows.stored
    changed, deleted, *_ = [one for one in installation.world.kafka.scored if one.flag and not one.revision]
    for verdict in (changed, deleted):
        one = verdict.transaction
        row = msgspec.json.decode(stored.pop((one.id, one.txn_date, one.user_id)))
        row["meta_data"] = {"is_anomaly": False}
        if verdict is changed:
            stored[one.id, one.txn_date, one.user_id] = msgspec.json.encode(row)

    findings = await replayed(installation, arriving, 50)

    assert findings.counts["different"] == 2
    assert {one.place.offset: one.why.partition(":")[0] for one in findings.differences} == {
        changed.offset: "the row was changed in Postgres, or scored by other settings than these, or with a "
        "window of another partition or beginning",
        deleted.offset: "Postgres has no such row",
    }
    [of_changed] = [one for one in findings.differences if one.place.offset == changed.offset]
    assert [(one.given, one.replayed) for one in of_changed.fields if one.name == "meta_data.is_anomaly"] == [
        (False, True)
    ]


IN_BETWEEN = {
    "a list": put("put", MERCHANTS[0]),
    "a change of a list": [*put("put", *MERCHANTS), *put("remove", MERCHANTS[1])],
    "a suppression": [suppressed("several", hours=9)],
    "a rule that is off": [off("several", 1)],
}


@pytest.mark.parametrize("in_between", IN_BETWEEN.values(), ids=IN_BETWEEN)
async def test_lists_suppressions_and_rules_that_went_off_hold_from_where_they_did(
    in_between: list[tuple[str, dict[str, Any]]],
) -> None:
    installation, arriving = LoggedPartition(), records(120, seed=3)
    installation.decide({"detector": "rolling_mean", "rules": [RULE, LISTED]})
    await installation.run(arriving[:60], 30)
    for kind, body in in_between:
        installation.decide(body, kind)
    await installation.run(arriving, 25)

    findings = await replayed(installation, arriving, 50)
    assert findings.differences == []

    held = dict(installation.world.rows.applied)
    installation.world.rows.applied |= dict.fromkeys([seq for seq, start in held.items() if start == 60], 30)
    findings = await replayed(installation, arriving, 50)
    assert {one.place.offset // 30 for one in findings.differences} == {1}
    installation.world.rows.applied = held

    stored, last = installation.world.rows.stored, installation.world.kafka.scored[-1].transaction
    row = msgspec.json.decode(stored[last.id, last.txn_date, last.user_id])
    row["meta_data"]["is_anomaly"] ^= True
    stored[last.id, last.txn_date, last.user_id] = msgspec.json.encode(row)
    findings = await replayed(installation, arriving, 50)
    assert [one.place.id for one in findings.differences] == [last.id]


async def test_a_rule_that_raises_does_so_again_until_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = DECIDERS.by_settings.ensemble.all[0]
    score = type(detector).score_one

    def raising(self: Any, window: Any, state: Any, one: Any) -> tuple[float, Any]:
        """The score of some is none that can be reckoned with."""
        its, evidence = score(self, window, state, one)
        return (float("inf") if one.amount % 7 == 0 and not evidence else its), evidence

    monkeypatch.setattr(type(detector), "score_one", raising)
    installation, arriving = LoggedPartition(), records(120, seed=4)
    scored = {"name": "scored", "when": 'score("rolling_mean") < 5'}
    installation.decide({"detector": "rolling_mean", "rules": [scored]})
    await installation.run(arriving[:60], 30)
    raised = [one for one in installation.world.kafka.scored if not one.flag]
    assert raised
    installation.decide(off("scored", 1)[1], RULE_OFF)
    await installation.run(arriving, 30)

    findings = await replayed(installation, arriving, 50)

    assert findings.differences == []


STARTED: list[dict[str, str]] = [
    {"TXNWATCH_WINDOW_SIZE": "5", "TXNWATCH_FACTOR": "2", "TXNWATCH_WINDOW_MINIMUM": "2"},
    {"TXNWATCH_DETECTOR": "odds", "TXNWATCH_ODDS_PROBABILITY": "0.2"},
    {"TXNWATCH_WINDOW_BY": "user", "TXNWATCH_SHADOW_DETECTORS": "odds"},
]


async def test_each_stretch_is_scored_by_the_settings_that_held(monkeypatch: pytest.MonkeyPatch) -> None:
    installation, arriving = LoggedPartition(), records(160, seed=6)
    kept = []
    for number, environment in enumerate(STARTED):
        with monkeypatch.context() as worker:
            for name, value in environment.items():
                worker.setenv(name, value)
            installation.deciders = Deciders(Settings(_env_file=None))
        kept.append(msgspec.json.decode(installation.deciders.held.encode(), type=VerdictSettings))
        await installation.run(arriving[: 40 * (number + 1)], 15)
    installation.decide({"rules": [RULE]})
    await installation.run(arriving, 15)

    made = [Deciders(Settings(_env_file=None), held) for held in kept]
    started = [DueSettings(40 * number, deciders) for number, deciders in enumerate(made)]
    assert [one.by_settings.rule.rule for one in made] == [one.rule for one in kept]
    assert (await replayed(installation, arriving, 50, started=started)).differences == []
    for left_out in range(len(STARTED)):
        some = [one for one in started if one is not started[left_out]]
        assert (await replayed(installation, arriving, 50, started=some)).differences != []


async def test_where_the_first_records_are_gone_what_differs_proves_nothing() -> None:
    installation, arriving = await decided_in_the_middle()

    gone = Gap(40, "records before 40 are gone")
    findings = await replayed(installation, arriving, 50, begins=40, gaps=[gone])

    assert findings.counts["different"] == 0
    assert findings.counts["unproven"] > 0


async def test_who_has_a_full_window_since_the_beginning_is_proven_again() -> None:
    """By a rule that knows of nothing but windows."""
    installation, arriving = LoggedPartition(), records(200, seed=9)
    await installation.run(arriving, 30)
    stored, scored = installation.world.rows.stored, installation.world.kafka.scored
    last = next(one.transaction for one in reversed(scored) if not one.revision)
    row = msgspec.json.decode(stored[last.id, last.txn_date, last.user_id])
    row["meta_data"] = {"is_anomaly": not row["meta_data"]["is_anomaly"]}
    stored[last.id, last.txn_date, last.user_id] = msgspec.json.encode(row)

    gone = Gap(40, "records before 40 are gone", fills=True)
    findings = await replayed(installation, arriving, 20, begins=40, gaps=[gone])

    assert [one.place.id for one in findings.differences] == [last.id]
    assert findings.counts["unproven"] > 0
    gone = Gap(180, "records before 180 are gone", fills=True)
    findings = await replayed(installation, arriving, 20, begins=180, gaps=[gone])
    assert findings.differences == []


async def test_a_transaction_whose_row_another_came_before_is_no_difference() -> None:
    """Later than among the user's last 20, the same id is scored again, and stored as it was first."""
    arriving = [one for one in records(120, seed=2) if one.key]
    again = [*arriving, FakeRecord(len(arriving), arriving[0].key, arriving[0].value)]
    installation = LoggedPartition()
    await installation.run(again, 30)

    findings = await replayed(installation, again, 200)

    assert findings.differences == []


@pytest.mark.parametrize(
    ("given_meta", "replayed_meta", "why"),
    [
        (
            {"rule": "aa"},
            {"rule": "bb"},
            "the row is by rule aa, and what is set and was decided comes to rule bb",
        ),
        ({"revision": 2}, {}, "the row says that it was revised"),
        ({"is_anomaly": True}, {}, "the row was changed in Postgres, or scored by other settings"),
    ],
)
def test_why_is_told_as_far_as_it_can_be(
    given_meta: dict[str, Any], replayed_meta: dict[str, Any], why: str
) -> None:
    place = Origin(0, 0, str(uuid4()), str(uuid4()), "")

    difference = Mismatch.of(place, ({"meta_data": given_meta}, {"meta_data": replayed_meta}))

    assert difference.why.startswith(why)
