"""A publisher that kills itself on the way: `python -m tests.support.faults.publishing POINT`."""

import asyncio
import os
import signal
import sys
from typing import Any

from aiokafka import AIOKafkaProducer

from infra.decisions import publisher
from infra.runtime.settings import Settings

POINTS = {
    "producer started": (AIOKafkaProducer, "start", False),
    "looked again": (publisher, "_check_same", True),
    "sent": (AIOKafkaProducer, "send", False),
    "all sent": (AIOKafkaProducer, "commit_transaction", True),
    "committed": (AIOKafkaProducer, "commit_transaction", False),
}
"""By name: where, and whether before that is done."""


def die_at(point: str) -> None:
    """Have the process end there, as a machine's failure ends it."""
    owner, name, before = POINTS[point]
    method = getattr(owner, name)

    async def last(*arguments: Any, **options: Any) -> Any:
        if not before:
            await method(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, last)


if __name__ == "__main__":
    die_at(sys.argv[1])
    settings = Settings.load()
    asyncio.run(publisher.publish(settings, settings.postgres.get_secret_value(), is_new=True))
