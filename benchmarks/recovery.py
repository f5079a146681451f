"""`recovery`: windows from the changelog into an empty RocksDB, and rows again after a SIGKILL."""

from collections.abc import Awaitable, Callable
from statistics import median

import click

from benchmarks.bed import PARTITIONS, Bed
from benchmarks.environments import UnavailableError
from benchmarks.failover import RATE, Gap, restarted, taken_over
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.race import reason
from benchmarks.restoring import FaustRestorer, Restorer, TxnwatchRestorer, ours, stock
from benchmarks.result import Cell, Column, Figure, Result, ratio

COLUMNS = [
    Column("what", "what"),
    Column("rate", "keys/s"),
    Column("keys", "keys"),
    Column("seconds", "all s", ",.1f"),
    Column("idle", "start s", ",.1f"),
    Column("first", "first row s", ",.1f"),
    Column("every", "every partition s", ",.1f"),
]
RESTORING = (
    "keys/s: the keys over the time from the start of the process to the last partition's first verdict "
    "(all s), less what starting takes on an empty changelog (start s); windows of 12 amounts."
)
KILLING = (
    f"SIGKILL at {RATE:,} transactions a second; then the same worker is started again at once, or the other "
    "one of two takes its partitions over. Kafka waits for the session of the killed one to end: 10 s by "
    "default (TXNWATCH_SESSION_SECONDS)."
)


async def recovery(loads: Loads, options: Options) -> Result:
    """Restoring beside stock Faust, then killing."""
    restorers: list[Restorer] = [
        TxnwatchRestorer("txnwatch restores", ours, None),
        FaustRestorer("stock Faust restores", stock, 20_000),
    ]
    counts = [min(options.count, restorer.at_most or options.count) for restorer in restorers]
    for _ in range(max(1, options.rounds // 2)):
        for restorer, keys in zip(restorers, counts, strict=True):
            if restorer.failure is None:
                await _restore(loads.bed, restorer, keys)
    rates = [restorer.rate(keys) for restorer, keys in zip(restorers, counts, strict=True)]
    rows = [_restored(restorer, keys) for restorer, keys in zip(restorers, counts, strict=True)]
    notes = [RESTORING, KILLING, *(f"{one.name}: {one.failure}" for one in restorers if one.failure)]
    for what, fail in (("killed, restarted", restarted), ("killed, taken over", taken_over)):
        rows.append(await _killed(loads.bed, what, fail, notes))
    return Result(
        name="recovery",
        title="from the changelog into an empty RocksDB; rows again after SIGKILL",
        setting=f"{options.count:,} keys, {PARTITIONS} partitions",
        columns=COLUMNS,
        rows=rows,
        figures=[Figure("restoring against stock Faust", ratio(rates[0], rates[1]), 10, 30)],
        notes=notes,
    )


async def _restore(bed: Bed, restorer: Restorer, keys: int) -> None:
    """A lap on an empty changelog and one on a full one."""
    try:
        restorer.idle_seconds.append(await restorer.restore(bed, PARTITIONS))
        restorer.seconds.append(await restorer.restore(bed, keys))
    except UnavailableError as error:
        restorer.failure = f"skipped: {error}"
    except Exception as error:  # noqa: BLE001 - the others go on
        restorer.failure = f"failed: {reason(error)}"
    else:
        spent, idle = restorer.seconds[-1], restorer.idle_seconds[-1]
        click.echo(f"  {restorer.name} {keys:,} keys in {spent:.1f} s, of which starting is {idle:.1f} s")
    if restorer.failure:
        click.echo(f"  {restorer.name} {restorer.failure}", err=True)


def _restored(restorer: Restorer, keys: int) -> dict[str, Cell]:
    return {
        "what": restorer.name,
        "rate": restorer.rate(keys),
        "keys": keys,
        "seconds": median(restorer.seconds) if restorer.seconds else None,
        "idle": median(restorer.idle_seconds) if restorer.idle_seconds else None,
    }


async def _killed(
    bed: Bed, what: str, fail: Callable[[Bed], Awaitable[Gap]], notes: list[str]
) -> dict[str, Cell]:
    try:
        gap = await fail(bed)
    except Exception as error:  # noqa: BLE001 - the others go on
        notes.append(f"{what}: failed: {reason(error)}")
        click.echo(f"  {notes[-1]}", err=True)
        return {"what": what}
    click.echo(f"  {what}: a new row of every partition after {gap.every:.1f} s")
    # Of two workers, the one that lives goes on with its own partitions: its rows say nothing.
    return {"what": what, "first": gap.first if fail is restarted else None, "every": gap.every}
