import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.live.event_id import (
    EventId,
    Missing,
    Position,
    behind,
    former_incarnation_of,
    incarnation_of,
    parse,
    settle,
)

OFFSETS = st.lists(st.integers(0, 2**62), min_size=1, max_size=8).map(lambda values: dict(enumerate(values)))

ID = str(EventId("0a1b2c3d", {0: 15, 1: 7}))


@given(OFFSETS)
def test_an_id_brings_its_position_back(offsets: dict[int, int]) -> None:
    point = EventId("0a1b2c3d", offsets)
    assert parse(str(point)) == point
    assert str(point).startswith("v2.")


@pytest.mark.parametrize("text", ["v3.0a1b2c3d.0-1", "v10.anything/else=", "v999.{}"])
def test_an_id_of_a_later_format_is_a_gap_and_not_misread(text: str) -> None:
    point, missing = settle(parse(text), "0a1b2c3d", {0: 3}, {0: 8}, former="0a1b2c3e")
    assert point == EventId("0a1b2c3d", {0: 8})
    assert missing == [Missing(0, 3, 8, "later format")]


@given(OFFSETS, st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2**40))))
def test_an_id_that_moved_on_is_that_of_the_place_it_came_to(
    offsets: dict[int, int], steps: list[tuple[int, int]]
) -> None:
    position, expected = Position(EventId("0a1b2c3d", offsets)), dict(offsets)
    for partition, step in steps:
        if partition in expected and expected[partition] + step < 2**63:
            expected[partition] += step
            position.move(partition, expected[partition])
            assert parse(position.text) == position.event_id == EventId("0a1b2c3d", expected)


def test_an_id_of_many_partitions_fits_into_a_header() -> None:
    """Servers and proxies take 8 KiB a line; a feed sends an id with each row."""
    offsets = {partition: 3_000_000_000 + partition * 997 % 60_000 for partition in range(1000)}
    assert len(str(EventId("0a1b2c3d", offsets))) < 3000
    assert len(str(EventId("0a1b2c3d", {number: offsets[number] for number in range(200)}))) < 650


def test_an_id_as_they_were_at_first_is_taken() -> None:
    for text in ("0a1b2c3d.0-15.1-7.3-99", "v1.0a1b2c3d.0-15.1-7.3-99"):
        assert parse(text) == EventId("0a1b2c3d", {0: 15, 1: 7, 3: 99})


@pytest.mark.parametrize(
    "text",
    [
        "", "0a1b2c3d", "0a1b2c3d.", "0a1b2c3d.0", "0a1b2c3d.0-", "0a1b2c3d.0--1", "0a1b2c3d.0-1.", "0-1.1-2",
        "0a1b2c3d.0-1\n", "0a1b2c3d.0-٣", "0A1B2C3D.0-1", "0a1b2c3d.0-1.0-1",
        "0a1b2c3d.0-" + "9" * 19, "\udcff", "v0.0a1b2c3d.0-1", "v1.", "v1.v1.0a1b2c3d.0-1", "v3.",
        "v1000.a", "v02.a", "v2.", "v2.ÿ", "v2.AAAA", "v2.0a1b2c3d.0-1", ID[1:], ID[2:], ID[:-1], ID[:-4],
        ID + "AAAA", ID + "====", ID + "\n", ID[:9] + "+" + ID[10:], ID[:-4] + "____",
    ],
)  # fmt: skip
def test_other_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an event id"):
        parse(text)


def test_a_position_that_is_still_there_is_kept() -> None:
    asked = EventId("aa", {0: 5, 1: 9})
    assert settle(asked, "aa", {0: 5, 1: 0}, {0: 8, 1: 9}) == (asked, [])


def test_what_expired_is_missing_and_reading_goes_on_after_it() -> None:
    point, missing = settle(EventId("aa", {0: 2, 1: 7}), "aa", {0: 5, 1: 0}, {0: 8, 1: 9})
    assert point.offsets == {0: 5, 1: 7}
    assert missing == [Missing(0, 2, 5, "expired")]


def test_a_position_that_never_was_makes_all_that_is_there_missing() -> None:
    point, missing = settle(EventId("aa", {0: 50}), "aa", {0: 3}, {0: 8})
    assert point.offsets == {0: 8}
    assert missing == [Missing(0, 3, 8, "beyond the end")]


def test_an_id_of_another_topic_or_cluster_is_a_gap_whatever_its_offsets() -> None:
    point, missing = settle(EventId("bb", {0: 4}), "aa", {0: 3}, {0: 8})
    assert point == EventId("aa", {0: 8})
    assert missing == [Missing(0, 3, 8, "other topic")]


def test_an_id_of_before_topics_ids_were_known_is_of_this_topic() -> None:
    former = former_incarnation_of("a cluster", "scored")
    asked = parse(f"{former}.0-4")
    assert former == "93a3de54"
    point, missing = settle(asked, "aa", {0: 3}, {0: 8}, former=former)
    assert (point, missing) == (EventId("aa", {0: 4}), [])


def test_a_partition_added_later_is_read_from_its_beginning() -> None:
    point, missing = settle(EventId("aa", {0: 4}), "aa", {0: 0, 1: 2}, {0: 4, 1: 6})
    assert (point.offsets, missing) == ({0: 4, 1: 2}, [])


def test_behind_counts_no_partition_that_is_ahead() -> None:
    assert behind(EventId("aa", {0: 9, 1: 1}), EventId("aa", {0: 4, 1: 3})) == 2


def test_topics_later_ones_of_their_names_and_clusters_have_incarnations_of_their_own() -> None:
    incarnations = {incarnation_of(*one) for one in itertools.product("ab", "cd", "ef")}
    assert len(incarnations) == 8
