"""What is left of a file that was sent in part: what stands on the topic is not sent again."""

from array import array
from collections.abc import Iterator
from pathlib import Path
from random import Random
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.produce.errors import InputError
from infra.produce.position import PartitionPosition, PositionFile, SendingProgress, SentPosition
from infra.produce.resuming import UnsentRows
from infra.produce.rows import Item, ProducerRecord, RejectedRow
from infra.runtime.partitioners import Partitioner

PARTITIONS = 3
PARTITIONER = Partitioner("crc32", PARTITIONS)


def rows(seed: int, count: int, values: int) -> list[ProducerRecord]:
    random = Random(seed)
    return [
        ProducerRecord(b"user %d" % random.randrange(9), b"%d" % random.randrange(values))
        for _ in range(count)
    ]


def by_partition(records: list[ProducerRecord]) -> list[list[bytes]]:
    found: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for record in records:
        found[PARTITIONER.of(record.key)].append(record.value)
    return found


def position_of(noted: list[list[bytes]]) -> SentPosition:
    partitions = []
    for values in noted:
        partitions.append(PartitionPosition(100))
        for value in values:
            partitions[-1].add(value)
    return SentPosition("transactions", "id", partitions)


def unsent(
    source: Iterator[Item], noted: list[list[bytes]], tails: list[list[bytes]]
) -> tuple[list[Item], SendingProgress]:
    kept = SendingProgress(PositionFile(Path("unused")), position_of(noted))
    hashes = [array("q", map(hash, tail)) for tail in tails]
    return list(UnsentRows(kept, PARTITIONER, hashes).rest(source)), kept


@given(
    st.integers(0, 1000),
    st.integers(0, 60),
    st.sampled_from([3, 1000]),  # few values: many rows are equal
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=PARTITIONS, max_size=PARTITIONS),
    st.integers(0, 2),
)
@settings(max_examples=60)
def test_exactly_what_is_not_there_is_sent_in_its_order(
    seed: int, count: int, values: int, parts: list[tuple[float, float]], foreign: int
) -> None:
    given_rows = rows(seed, count, values)
    noted, tails, left = [], [], []
    for all_of_it, (there, known) in zip(by_partition(given_rows), parts, strict=True):
        sent = all_of_it[: round(there * len(all_of_it))]
        split = round(known * len(sent))
        noted.append(sent[:split])
        between = [b"another's"] * foreign
        tails.append([one for value in sent[split:] for one in (*between, value)] + between)
        left.append(all_of_it[len(sent) :])

    found, kept = unsent(iter(given_rows), noted, tails)

    assert by_partition([item for item in found if isinstance(item, ProducerRecord)]) == left
    assert kept.skipped == count - sum(map(len, left))
    # From here the sender counts on: together it is the whole file.
    for sent_so_far, rest, whole in zip(kept.sent, left, by_partition(given_rows), strict=True):
        for value in rest:
            sent_so_far.add(value)
        checksum = 0
        for value in whole:
            checksum = crc32(value, checksum)
        assert (sent_so_far.count, sent_so_far.checksum) == (len(whole), checksum)


def test_nothing_of_a_file_that_has_changed_is_sent() -> None:
    given_rows = rows(1, 60, 1000)
    noted = by_partition(given_rows[:40])
    changed: list[Item] = [*given_rows]
    changed[20] = ProducerRecord(given_rows[20].key, b"changed")
    for source in (changed, given_rows[:39], given_rows[1:], given_rows[::-1]):
        with pytest.raises(InputError, match="what was sent is not what the file has"):
            unsent(iter(source), noted, [[]] * PARTITIONS)
    later: list[Item] = [*given_rows]
    later[50] = ProducerRecord(given_rows[50].key, b"changed")
    assert [*unsent(iter(later), noted, [[]] * PARTITIONS)[0]] == later[40:]


def test_rejected_rows_are_said_again() -> None:
    bad, given_rows = RejectedRow(1, "amount", ""), rows(1, 10, 1000)
    found, _ = unsent(iter([bad, *given_rows, bad]), by_partition(given_rows), [[]] * PARTITIONS)
    assert found == [bad, bad]


def test_what_was_noted_is_read_again_until_all_is_sent(tmp_path: Path) -> None:
    sent = tmp_path / "rows.csv"
    sent.touch()
    beside = PositionFile(sent)
    assert (beside.load(), beside.known()) == (None, 0)
    kept = SendingProgress(beside, position_of([[b"a"], [], []]))
    assert kept.note()
    kept.acknowledged(1, 7, 2, 3)
    assert kept.note()  # not after less than a second
    assert beside.known() == 1
    assert kept.close(complete=False)
    assert beside.load() == kept.position
    assert [one.name for one in tmp_path.iterdir() if one != sent] == [".rows.csv.sent"]
    assert not kept.close(complete=True)
    assert beside.load() is None
    beside.path.write_text("{")
    with pytest.raises(InputError, match="does not say how far"):
        beside.load()
    assert beside.known() == 0


def test_a_folder_that_cannot_be_written_is_no_error_and_one_process_holds_a_file(
    tmp_path: Path,
) -> None:
    sent = tmp_path / "rows.csv"
    sent.touch()
    (tmp_path / ".rows.csv.sent.new").mkdir()
    assert not SendingProgress(PositionFile(sent), position_of([[], [], []])).note()
    first, second = PositionFile(sent), PositionFile(sent)
    assert first.hold()
    assert not second.hold()
    first.release()
    assert second.hold()
    second.release()
