"""SIGKILL of `txnwatch ingest` under load: nothing is lost, doubled or out of order."""

import asyncio
import json
import signal
from contextlib import ExitStack
from functools import partial
from operator import attrgetter
from pathlib import Path
from random import Random
from uuid import uuid5

import pytest

from schemas.mapping.ids import NAMESPACE
from tests.support.faults.ledger import Ledger
from tests.support.foreign_topics import MAPPING, arrived, foreign_topic, ingesting, pour, taken_over
from tests.support.installation import Installation, ended, until
from tests.support.traffic import traffic

KILLS = 20
COUNT = 30_000


async def of_source(installation: Installation, topic: str) -> dict[bytes, list[str]]:
    """By user, the ids that the source's records are to have, in their order there."""
    found: dict[bytes, list[str]] = {}
    for record in sorted(await installation.read_topic(topic), key=attrgetter("partition", "offset")):
        fields = json.loads(record.value or b"")
        found.setdefault(fields["customer"].encode(), []).append(str(uuid5(NAMESPACE, fields["ref"])))
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_killed_twenty_times_under_load_nothing_is_lost_doubled_or_out_of_order(
    environment: dict[str, str], tmp_path: Path, ledger: Ledger
) -> None:
    """Every third time the next one is there before, and takes over while the killed one counts as alive."""
    installation, random, enough = Installation(environment), Random(ledger.seed), asyncio.Event()
    sent, mapping = traffic(COUNT, users=200, seed=ledger.seed), tmp_path / "shop.toml"
    mapping.write_text(MAPPING)
    async with foreign_topic(installation, 4) as topic:
        with ExitStack() as stack:
            start = partial(ingesting, installation, topic, mapping)
            pouring = asyncio.create_task(pour(installation, topic, sent, enough))
            process, reached = stack.enter_context(start()), 0
            for number in range(KILLS):
                next_one = stack.enter_context(start()) if number % 3 == 2 else None
                await until(partial(taken_over, installation, reached + 1))
                await asyncio.sleep(random.uniform(0, 0.4))  # the moment is the test's seed's
                process.send_signal(signal.SIGKILL)
                reached = len(await installation.read("TXNWATCH_TRANSACTIONS_TOPIC"))
                process = next_one or stack.enter_context(start())
            enough.set()
            await pouring
            await until(partial(taken_over, installation, COUNT))
            assert await ended(process) == 0

        assert await arrived(installation) == await of_source(installation, topic)
