"""The eight steps: their order, and what a crash between any two of them comes to."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.batch import Batch, LostPartitionError
from stream_app.sinks.disabled import NoMirror, NoRows
from stream_app.window import decode_window
from tests.support.fakes import FakeRecord, World
from tests.support.oracle import replay
from tests.support.traffic import Sent, traffic

WRITES = ["load", "rows", "kafka", "windows", "mirror"]


def records_of(transactions: Sequence[Sent]) -> list[FakeRecord]:
    return [FakeRecord(offset, sent.key, sent.value) for offset, sent in enumerate(transactions)]


def assert_as_expected(world: World, transactions: Sequence[Sent]) -> None:
    expected = replay(transactions)
    assert set(world.rows.stored) == expected.stored
    assert [verdict.transaction.id for verdict in world.kafka.scored] == [sent.id for sent in transactions]
    assert {verdict.transaction.id for verdict in world.kafka.scored if verdict.flag} == expected.flagged
    assert {i for i, row in world.rows.stored.items() if b'"is_anomaly":true' in row} == expected.flagged
    assert {
        key.decode(): decode_window(value).amounts for key, value in world.windows.content.items() if value
    } == expected.windows
    assert world.windows.content == dict(world.kafka.changelog)


async def test_a_batch_reaches_the_steps_in_their_order() -> None:
    world = World()

    await world.run(records_of(traffic(5)))

    assert world.steps == WRITES


async def test_every_transaction_is_scored_stored_and_mirrored() -> None:
    world, transactions = World(), traffic(600, users=8)

    await world.run(records_of(transactions))

    assert len(replay(transactions).flagged) > 5
    assert_as_expected(world, transactions)
    assert {user.encode(): window for user, window in world.mirror.windows.items()} == world.windows.content
    assert world.counts["scored"] == 600
    assert world.counts["already_stored"] == 0


@given(
    st.lists(st.tuples(st.sampled_from(WRITES), st.integers(1, 30)), max_size=6),
    st.integers(1, 40),
    st.integers(0, 2**32),
)
async def test_crashes_between_any_two_steps_come_to_the_same(
    crashes: list[tuple[str, int]], last_batch_size: int, seed: int
) -> None:
    world, transactions = World(), traffic(120, users=4, seed=seed)
    records = records_of(transactions)

    for step, batch_size in crashes:
        await world.crash(records, step, batch_size)
    await world.run(records, batch_size=last_batch_size)
    world.owner()

    assert_as_expected(world, transactions)


async def test_with_sinks_switched_off_all_the_rest_is_as_before() -> None:
    world, transactions = World(), traffic(60, users=2)
    pipeline = replace(world.owner(), rows=NoRows(), mirror=NoMirror())

    await pipeline.process(Batch(0, records_of(transactions)))

    assert world.steps == ["load", "kafka", "windows"]
    assert [verdict.transaction.id for verdict in world.kafka.scored] == [sent.id for sent in transactions]
    assert world.windows.content == dict(world.kafka.changelog)
    assert (world.counts["scored"], world.counts["already_stored"]) == (60, 0)


async def test_an_owner_whose_epoch_has_passed_writes_nothing() -> None:
    world, records = World(), records_of(traffic(20))
    former = world.owner()
    world.owner()

    with pytest.raises(LostPartitionError):
        await former.process(Batch(0, records))

    assert (world.rows.stored, world.kafka.scored, world.windows.content) == ({}, [], {})


async def test_a_refused_message_goes_to_the_dead_letters_and_the_others_go_on() -> None:
    world, transactions = World(), traffic(30, users=1)
    records = records_of(transactions)
    records[7].value = b"{"
    records[9].key = b"another"

    await world.run(records)

    assert world.kafka.refusals == [(7, "json"), (9, "key")]
    assert_as_expected(world, [sent for at, sent in enumerate(transactions) if at not in {7, 9}])
    assert world.counts["refused_json"] == 1


async def test_a_batch_of_nothing_but_refusals_moves_the_offset_and_no_window() -> None:
    world = World()

    await world.run([FakeRecord(0, None, b""), FakeRecord(1, None, b"[]")])

    assert world.kafka.group_offset == world.rows.next_offset == 2
    assert world.steps == ["load", "rows", "kafka", "mirror"]


async def test_a_tombstone_is_counted_and_clears_no_window() -> None:
    world, transactions = World(), traffic(12, users=1)
    records = records_of(transactions)
    records.append(FakeRecord(12, transactions[0].key, None))

    await world.run(records)

    assert world.counts["tombstone"] == 1
    assert_as_expected(world, transactions)


async def test_a_transaction_sent_twice_is_scored_and_stored_once() -> None:
    world, transactions = World(), traffic(12, users=1)

    await world.run(records_of([*transactions, transactions[-1]]))

    assert world.counts["duplicate"] == 1
    assert_as_expected(world, transactions)


async def test_a_transaction_sent_again_much_later_stays_as_it_was_stored_first() -> None:
    world, transactions = World(), traffic(40, users=1)

    await world.run(records_of([*transactions, transactions[0]]))

    assert set(world.rows.stored) == {sent.id for sent in transactions}
    assert world.counts["already_stored"] == 1
