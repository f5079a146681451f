"""`whole` and `state`: transactions a second through one worker, with everything on and with Kafka alone."""

from benchmarks.bed import bed
from benchmarks.load import fill
from benchmarks.race import Lap, Txnwatch, race

WHOLE = Txnwatch("txnwatch, whole", {})
STATE = Txnwatch("txnwatch, state only", {"TXNWATCH_SINKS": "", "TXNWATCH_SCORED_TOPIC": ""})


async def throughput(count: int, users: int, rounds: int) -> dict[str, list[Lap]]:
    """Both ways in turn over the same topic."""
    with bed() as services:
        load = await fill(services, "load", count, users)
        return await race(services, load, [WHOLE, STATE], rounds)
