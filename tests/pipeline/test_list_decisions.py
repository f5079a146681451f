"""Lists that change between batches: the whole list or the one before, also after crashes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import lists
from schemas.decision import LIST
from schemas.lists import Change, ListFaultError, changes
from stream_app.scoring.rules.lists import Entries
from stream_app.state.decided.lists import LISTS_KEY, ListIndex, Lists
from stream_app.state.decided.log import UnappliedError
from tests.support.fakes import FakeRecord
from tests.support.logged_partition import STEPS, LoggedPartition
from tests.support.traffic import traffic

TEXTS = ["a", "b", "Ä", "a b", "bakery", "\U0001f600"]
RULES = {"rules": [{"name": "blocked", "when": 'in_list("blocked", merchant_id)'}]}
CHANGES = st.tuples(st.sampled_from(["put", "add", "remove"]), st.lists(st.sampled_from(TEXTS), max_size=6))


def change(installation: LoggedPartition, name: str, how: Change, entries: list[str]) -> None:
    for part in changes(name, how, entries):
        installation.decide(msgspec.to_builtins(part), LIST)


def records(count: int) -> list[FakeRecord]:
    """Payments at the merchants in turn."""
    sent = [
        msgspec.json.decode(one.value) | {"merchant_id": TEXTS[offset % len(TEXTS)]}
        for offset, one in enumerate(traffic(count, users=3, seed=1))
    ]
    keys = [one.key for one in traffic(count, users=3, seed=1)]
    return [
        FakeRecord(offset, key, msgspec.json.encode(one))
        for offset, (key, one) in enumerate(zip(keys, sent, strict=True))
    ]


def flagged(installation: LoggedPartition) -> list[str | None]:
    """The merchants of what rules flag."""
    return [
        one.transaction.merchant_id
        for one in installation.world.kafka.scored
        if one.flag and one.flag.reasons
    ]


@given(st.lists(CHANGES, max_size=12), st.lists(st.sampled_from(STEPS), max_size=3), st.integers(1, 40))
async def test_a_list_is_what_its_changes_come_to(
    several: list[tuple[Change, list[str]]], crashes: list[str], part_bytes: int
) -> None:
    """Parts of one entry, crashes, and a partition that is taken over: as a set that is changed in order."""
    installation, expected = LoggedPartition(), set[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "_PART_BYTES", part_bytes)
        for how, entries in several:
            change(installation, "blocked", how, entries)
            kept = expected if how == "add" else set[str]()
            expected = expected - {*entries} if how == "remove" else kept | {*entries}
    for step in crashes:
        await installation.crash([], step, 1)
    owned = await installation.owner()

    note = owned.decided.store.note
    index = ListIndex.decode(note(0, LISTS_KEY))
    parts = index.held("blocked")
    found = Lists().of(parts, lambda key: note(0, key))
    assert {text for text in TEXTS if text in found} == expected
    stored = {key for key, value in installation.world.windows.content.items() if value is not None}
    assert {key for key in stored if key.startswith(LISTS_KEY + b":")} == {
        LISTS_KEY + b":%d" % part.seq for part in parts
    }


@pytest.mark.parametrize("step", STEPS)
async def test_rules_go_by_the_list_that_held_whatever_crashes(step: str) -> None:
    installation, arriving = LoggedPartition(), records(60)
    installation.decide(RULES)
    change(installation, "blocked", "put", ["bakery", "a"])
    await installation.run(arriving[:24], 12)
    change(installation, "blocked", "remove", ["a"])
    change(installation, "blocked", "add", ["Ä"])
    await installation.crash(arriving, step, 12)
    await installation.run(arriving, 12)

    assert flagged(installation)[:8] == ["a", "bakery"] * 4
    assert flagged(installation)[8:] == ["Ä", "bakery"] * 6


async def test_until_its_last_part_is_there_the_list_before_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "_PART_BYTES", 1)
    installation, arriving = LoggedPartition(), records(24)
    installation.decide(RULES)
    change(installation, "blocked", "put", ["bakery"])
    last = [msgspec.to_builtins(part) for part in changes("blocked", "put", ["a", "b"])]
    assert [one["more"] for one in last] == [2, 1, 0][-len(last) :]
    for part in last[:-1]:
        installation.decide(part, LIST)
    await installation.run(arriving[:12], 12)
    installation.decide(last[-1], LIST)
    await installation.run(arriving, 12)

    assert flagged(installation) == ["bakery", "bakery", "a", "b", "a", "b"]


async def test_many_small_changes_stay_few_notes() -> None:
    installation = LoggedPartition()
    for number in range(300):
        change(installation, "blocked", "add", [f"merchant {number}"])
    owned = await installation.owner()

    index = ListIndex.decode(owned.decided.store.note(0, LISTS_KEY))
    assert len(index.held("blocked")) < 12


async def test_what_is_no_list_stops_the_partition() -> None:
    installation = LoggedPartition()
    installation.decide({"name": "blocked", "change": "burn", "part": 0, "more": 0, "count": 0}, LIST)

    with pytest.raises(UnappliedError, match="decision 1 is no list: Invalid enum value 'burn'"):
        await installation.owner()


@pytest.mark.parametrize(
    ("name", "entries", "said"),
    [
        ("", [], "a list's name has 1 to 64"),
        ("a\n", [], "a list's name has 1 to 64"),
        ("a", ["b\nc"], "entry 'b\\\\nc'"),
        ("a", [""], "an entry has 1 to 256"),
        ("a", ["\ud800"], "an entry has 1 to 256"),
        ("a", ["b" * 257], "an entry has 1 to 256"),
    ],
)
def test_what_cannot_be_kept_is_refused(name: str, entries: list[str], said: str) -> None:
    with pytest.raises(ListFaultError, match=said):
        changes(name, "put", entries)


@given(st.sets(st.text(st.characters(exclude_characters="\n"), min_size=1)), st.text())
def test_entries_are_found_and_others_are_not(texts: set[str], other: str) -> None:
    entries: Any = Entries(texts)

    assert all(text in entries for text in texts)
    assert (other in entries) == (other in texts)
