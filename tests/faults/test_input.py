"""What producers do: send bad messages, too large, again, in disorder; and clocks that are wrong."""

import json
import random
import signal
import time
from dataclasses import asdict, replace

import pytest

from stream_app.faust_adapter.consumer import FETCH_BYTES
from stream_app.state.store import WindowStore
from tests.support.faults.bad import SPOILERS, Message, good, mixed
from tests.support.faults.ledger import Ledger
from tests.support.faults.plan import Plan
from tests.support.faults.rig import Rig
from tests.support.faults.topics import configure
from tests.support.traffic import Sent, traffic

SMALL = {"TXNWATCH_BATCH_SIZE": "50"}


async def scored(ground: Rig, messages: list[Message], *, killed: bool = False) -> None:
    """The messages sent and worked off, by a worker that is killed in the middle where so asked."""
    await ground.send_messages(messages)
    if killed:
        with ground.run(Plan("rows committed", 5), **SMALL) as worker:
            assert await worker.ended() == -signal.SIGKILL
    with ground.run(**SMALL) as worker:
        await ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()


async def settle(
    ground: Rig, ledger: Ledger, fault: str, messages: list[Message], *, injected: int | None = None
) -> None:
    """What came of the messages; those that are no transactions were injected, unless a count is given."""
    count = sum(reason is not None for _, _, reason in messages) if injected is None else injected
    ledger.settle(
        fault,
        await ground.audited(),
        injected=count,
        in_flight=count,
        messages=len(messages),
        recovery=ground.recoveries(),
    )


async def test_one_in_a_hundred_is_bad_and_the_worker_is_killed_among_them(
    ground: Rig, ledger: Ledger
) -> None:
    messages = list(mixed(traffic(6000, users=100, seed=ledger.seed), share=0.01, seed=ledger.seed))

    await scored(ground, messages, killed=True)

    await settle(ground, ledger, "1% bad messages, and SIGKILL", messages)


@pytest.mark.slow
async def test_every_kind_of_bad_message_a_thousand_in_a_row(ground: Rig, ledger: Ledger) -> None:
    user = traffic(1060, users=1)
    bad = [SPOILERS[number % len(SPOILERS)](sent) for number, sent in enumerate(user[30:1030])]
    messages = [*map(good, user[:30]), *bad, *map(good, user[1030:])]

    await scored(ground, messages)

    await settle(ground, ledger, "1,000 bad messages in a row", messages)


@pytest.mark.slow
async def test_messages_around_and_above_the_limit_and_the_fetch_size(ground: Rig, ledger: Ledger) -> None:
    """The consumer fetches 4 MiB at a time; a broker may be set to take more in one message."""
    await configure(ground, ground.transactions, max_message_bytes=5 << 20)
    user = traffic(40, users=1)
    sizes = [
        65_535,
        65_536,
        65_537,
        999_000,
        1_048_000,
        1_048_576,
        1_048_588,
        2_000_000,
        4_000_000,
        4_800_000,
    ]
    assert max(sizes) > FETCH_BYTES
    messages = [good(sent) for sent in user[: 40 - len(sizes)]]
    for sent, size in zip(user[-len(sizes) :], sizes, strict=True):
        messages += [padded(sent, size), padded(sent, size)]

    await scored(ground, messages)

    await settle(ground, ledger, "messages around and above the size limits", messages)


def padded(sent: Sent, size: int) -> Message:
    """A message of exactly so many bytes; over 64 KiB it is refused."""
    empty = json.dumps(asdict(sent) | {"meta_data": {"note": ""}})
    value = json.dumps(asdict(sent) | {"meta_data": {"note": "x" * (size - len(empty))}}).encode()
    assert len(value) == size
    return sent.key, value, "size" if size > 65_536 else None


@pytest.mark.slow
async def test_messages_sent_again_early_late_and_altered(ground: Rig, ledger: Ledger) -> None:
    """Early is scored and stored once; late is stored once, as it was first."""
    chance = random.Random(ledger.seed)
    messages: list[Message] = []
    sent_before: list[Sent] = []
    for sent in traffic(4000, users=30, seed=ledger.seed):
        messages.append(good(sent))
        sent_before.append(sent)
        if chance.random() < 0.1:
            again = chance.choice(sent_before[-15:] if chance.random() < 0.5 else sent_before)
            messages.append(good(replace(again, amount="1.00") if chance.random() < 0.3 else again))

    await scored(ground, messages, killed=True)

    repeated = len(messages) - len(sent_before)
    await settle(ground, ledger, "messages sent again, and SIGKILL", messages, injected=repeated)


@pytest.mark.slow
async def test_messages_in_any_order_are_scored_as_they_arrive(ground: Rig, ledger: Ledger) -> None:
    transactions = traffic(4000, users=30, seed=ledger.seed)
    random.Random(ledger.seed).shuffle(transactions)
    messages = [good(sent) for sent in transactions]

    await scored(ground, messages, killed=True)

    await settle(ground, ledger, "shuffled arrival, and SIGKILL", messages, injected=len(messages))


@pytest.mark.slow
@pytest.mark.parametrize("clock", ["clock ahead", "clock behind"])
async def test_a_workers_clock_changes_nothing(ground: Rig, ledger: Ledger, clock: str) -> None:
    now = traffic(2000, users=30, seed=ledger.seed)
    messages = list(mixed(now, share=0.01, seed=ledger.seed))
    await ground.send_messages(messages)

    with ground.run(Plan(off=[clock]), **SMALL) as worker:
        await ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()

    ledger.settle(
        f"worker's {clock} by 400 days",
        await ground.audited(),
        injected=1,
        in_flight=1,
        messages=len(messages),
    )


@pytest.mark.slow
async def test_a_worker_that_is_told_to_stop_under_load_leaves_nothing_to_replay(
    ground: Rig, ledger: Ledger
) -> None:
    await ground.send_transactions(traffic(20_000, users=100, seed=ledger.seed))
    with ground.run(**SMALL) as worker:
        await ground.noted("output committed", count=10)
        began = time.monotonic()
        assert await worker.stop() == 0, worker.tail()
        took = time.monotonic() - began
    assert not await ground.finished()
    committed = await ground.offsets()
    async with ground.postgres() as connection:
        stored = dict(await connection.fetch("SELECT partition, next_offset FROM sink_offsets"))
    assert {partition: offset for partition, offset in stored.items() if offset} == committed
    assert await changelog_ends(ground) == windows_stand_at(ground)

    with ground.run() as worker:
        await ground.finish(worker)
        assert await worker.stop() == 0, worker.tail()

    ledger.settle(
        "SIGTERM under load",
        await ground.audited(),
        injected=1,
        in_flight=1,
        messages=20_000,
        recovery=[took],
    )
    assert took < 15


async def changelog_ends(ground: Rig) -> dict[int, int]:
    """The offset of each partition's last change."""
    return {change.partition: change.offset for change in await ground.read_changelog()}


def windows_stand_at(ground: Rig) -> dict[int, int | None]:
    """The changelog offset of each partition's windows on disk."""
    store = WindowStore(ground.datadirs[0] / "windows", cache_bytes=1 << 20, buffer_bytes=1 << 20)
    reached = {}
    for partition in range(4):
        store.open(partition)
        reached[partition] = store.changelog_offset(partition)
        store.close(partition)
    return reached
