"""The eight steps: their order, and what a crash between any two of them comes to."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.batch import Batch, LostPartitionError
from stream_app.sinks.disabled import NoMirror, NoRows
from stream_app.window import ANY_CURRENCY, decode_window
from tests.support.detectors import rolling_scorer
from tests.support.fakes import FakeRecord, World
from tests.support.oracle import replay
from tests.support.traffic import Sent, revised, traffic

WRITES = ["load", "rows", "kafka", "windows", "mirror"]


def records_of(transactions: Sequence[Sent]) -> list[FakeRecord]:
    return [FakeRecord(offset, sent.key, sent.value) for offset, sent in enumerate(transactions)]


def assert_as_expected(world: World, transactions: Sequence[Sent]) -> None:
    expected = replay(transactions)
    assert [_read(verdict.encoded()[0]) for verdict in world.kafka.scored] == expected.scored
    assert [*map(_read, world.rows.stored.values())] == [*expected.rows.values()]
    windows = {key.decode(): decode_window(value or b"") for key, value in world.windows.content.items()}
    assert {
        user: {currency: its.amounts for currency, its in window.by_currency.items()}
        for user, window in windows.items()
    } == expected.by_currency
    assert world.windows.content == dict(world.kafka.changelog)


def _read(row: bytes) -> tuple[Sent, int, bool]:
    """What a row says: the transaction, which revision it is, and whether it is flagged."""
    fields = json.loads(row)
    meta = fields.pop("meta_data")
    return Sent(**fields), meta.get("revision", 0), meta["is_anomaly"]


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
    world, transactions = World(), revised(traffic(120, users=4, seed=seed), seed=seed)
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
    assert len(world.kafka.scored) == 60
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

    assert_as_expected(world, [*transactions, transactions[0]])
    assert len(world.rows.stored) == 40
    assert world.counts["already_stored"] == 1


async def test_what_comes_again_with_other_content_revises_the_row_and_no_window() -> None:
    """Pending, then settled with another amount, at another date: the verdict is the first one."""
    world, transactions = World(), traffic(12, users=1)
    large = replace(transactions[-1], amount="999999.00", status="pending")
    settled = replace(large, amount="1.00", status="settled", txn_date="2024-03-01T00:00:00Z")
    sent = [*transactions[:-1], large, settled, settled, replace(settled, currency="EUR")]

    await world.run(records_of(sent), batch_size=1)
    await world.run(records_of(sent), batch_size=1)

    [*_, last] = [json.loads(row) for row in world.rows.stored.values()]
    assert (last["status"], last["amount"], last["currency"]) == ("settled", "1.00", "EUR")
    assert (last["meta_data"]["revision"], last["meta_data"]["is_anomaly"]) == (3, True)
    first = json.loads(world.kafka.scored[11].encoded()[0])["meta_data"]
    assert last["meta_data"] == first | {"revision": 3}
    assert len(world.rows.stored) == 12
    assert (world.counts["scored"], world.counts["revision"], world.counts["duplicate"]) == (12, 2, 1)
    assert_as_expected(world, sent)


async def test_what_a_producer_says_under_a_verdicts_names_is_left_out_of_flagged_and_other_rows() -> None:
    world, transactions = World(), traffic(12, users=1)
    posing = {"is_anomaly": True, "detector": "mine", "mean": "1.00", "window": 3, "ratio": 2, "revision": 7}
    records = [
        FakeRecord(at, sent.key, json.dumps(asdict(sent) | {"meta_data": posing | {"shop": at}}).encode())
        for at, sent in enumerate([*transactions[:-1], replace(transactions[-1], amount="999999.00")])
    ]

    await world.run(records)

    *others, flagged = [json.loads(row)["meta_data"] for row in world.rows.stored.values()]
    assert others == [{"shop": at, "is_anomaly": False} for at in range(11)]
    assert (flagged["detector"], flagged["window"], flagged["shop"]) == ("rolling_mean", 11, 11)
    assert "revision" not in flagged


async def test_an_export_that_is_fed_back_is_nothing_new() -> None:
    world, transactions = World(), traffic(12, users=1)
    records = records_of([*transactions[:-1], replace(transactions[-1], amount="999999.00")])
    await world.run(records)

    again = [verdict.encoded()[0] for verdict in world.kafka.scored]
    await world.run([*records, *(FakeRecord(12 + at, records[at].key, row) for at, row in enumerate(again))])

    assert b'"is_anomaly":true' in again[-1]
    assert (world.counts["scored"], world.counts["duplicate"], world.counts["revision"]) == (12, 12, 0)


async def test_each_currency_of_a_user_has_a_window_of_its_own() -> None:
    """10 EUR are no 10 JPY: 1,700 JPY after them are not 170 times as much."""
    euros = [replace(sent, amount="10.00", currency="EUR") for sent in traffic(24, users=1)]
    yen = [replace(sent, amount="1700.00", currency="JPY") for sent in traffic(24, users=1, seed=3)]
    yen = [replace(sent, user_id=euros[0].user_id) for sent in yen]
    mixed = [one for pair in zip(euros, yen, strict=True) for one in pair]
    worlds = {by: World(rolling_scorer(by_currency=by)) for by in (True, False)}

    for world in worlds.values():
        await world.run(records_of(mixed))

    assert_as_expected(worlds[True], mixed)
    assert worlds[True].counts["flagged"] == 0
    [window] = [decode_window(value or b"") for value in worlds[False].windows.content.values()]
    assert (window.count, [*window.by_currency]) == (20, [ANY_CURRENCY])


async def test_a_window_of_a_larger_size_is_cut_before_it_judges() -> None:
    """Of 20 amounts the last 5 count from the first transaction on."""
    amounts = ["100.00"] * 15 + ["1.00"] * 5 + ["6.00", "1.00"]
    sent = [replace(one, amount=amount) for one, amount in zip(traffic(22, users=1), amounts, strict=True)]
    world = World()
    await world.run(records_of(sent[:20]))

    world.scorer = rolling_scorer(size=5, minimum=5)
    await world.run(records_of(sent))

    assert [verdict.transaction.id for verdict in world.kafka.scored if verdict.flag] == [sent[20].id]
    assert b'"window":5' in world.kafka.scored[20].encoded()[0]
