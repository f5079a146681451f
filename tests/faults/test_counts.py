"""What a worker has counted after others were killed is what was left to it, kind by kind."""

import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.exposed import samples
from tests.support.faults.bad import SPOILERS, Message, good
from tests.support.faults.plan import Plan
from tests.support.faults.rig import Rig
from tests.support.installation import until
from tests.support.services import free_port
from tests.support.traffic import revised, traffic

SMALL = {"TXNWATCH_BATCH_SIZE": "40"}


def messages() -> Iterator[Message]:
    """Transactions, some of them sent twice or revised, and after every fifth what is none, of every kind."""
    bad = traffic(600, users=60, seed=2)
    for number, sent in enumerate(revised(traffic(2000, users=60))):
        yield good(sent)
        if number % 5 == 0:
            yield SPOILERS[number // 5 % len(SPOILERS)](bad[number // 5])


@pytest.mark.slow
async def test_after_kills_each_record_is_counted_once_as_what_became_of_it(ground: Rig) -> None:
    port = str(free_port())
    await ground.send_messages(messages())
    for point in ("rows committed", "output committed", "windows written", "acknowledged"):
        with ground.run(Plan(point, 5), **SMALL) as worker:
            assert await worker.ended() == -signal.SIGKILL, worker.tail()
    begun = await ground.offsets()
    source = await ground.read("TXNWATCH_TRANSACTIONS_TOPIC")
    left = [one for one in source if one.offset >= begun.get(one.partition, 0)]

    async def all_counted() -> bool:
        _, text = await ground.get("/metrics", port)
        consumed = samples(text, "txnwatch_consumed_records_total")
        assert consumed[""] == sum(samples(text, "txnwatch_records_total").values())
        return consumed[""] == len(left)

    with ground.run(TXNWATCH_WEB_PORT=port, **SMALL) as worker:
        await ground.finish(worker)
        await until(all_counted)
        _, text = await ground.get("/metrics", port)
        assert await worker.stop() == 0, worker.tail()

    became = samples(text, "txnwatch_records_total")
    expected = Counter(header.decode() for one in left for _, header in one.headers)
    names = {reason: reason if reason == "tombstone" else f"refused_{reason}" for reason in expected}
    assert {reason: became[name] for reason, name in names.items()} == expected
    taken = len(left) - expected.total()
    assert became["scored"] + became["revision"] + became["duplicate"] == taken
    assert min(became[name] for name in ("scored", "revision", "duplicate")) > 0
    assert became["replayed"] == 0  # offset and windows are committed together
    assert samples(text, "txnwatch_next_offset") == {
        str(at): end for at, end in (await ground.offsets()).items()
    }
    assert sum(samples(text, "txnwatch_partition_records_total").values()) == len(left)
