"""`whole`: everything on, which is rows in Postgres, the mirror in Redis, every verdict and the flags out."""

from dataclasses import replace

from benchmarks.contenders import FAUST, CopyAlone, PythonPeer, Txnwatch
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.race import Contender, race
from benchmarks.result import Figure, Result
from benchmarks.standings import COLUMNS, failures, share, short, table, times

COPY = CopyAlone()
STOCK_FAUST = PythonPeer(
    "stock Faust by row",
    "faust",
    ("-m", "benchmarks.peers.faust_whole", *FAUST),
    whole=True,
    at_most=3_000,
)
QUIX = PythonPeer("QuixStreams", "quix", ("-m", "benchmarks.peers.quix"), whole=True, at_most=60_000)
ODDS = Txnwatch("txnwatch, odds", {"TXNWATCH_DETECTOR": "odds"}, same_rule=False)
CONTENDERS: list[Contender] = [Txnwatch("txnwatch"), ODDS, COPY, QUIX, STOCK_FAUST]
SETTINGS = (
    "COPY alone: through a staging table in batches of 4,000, rows encoded beforehand, nothing else done; "
    "its CPU is the client's. QuixStreams: its Postgres sink into the same table, flushed and committed "
    "every second, no Redis. Stock Faust by row: an INSERT, a Redis pipeline and a send for each transaction."
)
RATE = (
    "A rate is the transactions over the time from the contender's first flag to its last flag or its last "
    "row, whichever came later. A contender with a smaller count gets fewer users in proportion. Not in the "
    "time: how far Redis is behind then, which txnwatch lets wait while it has a backlog. Its rows go "
    "straight into their table, and through no staging table."
)


async def whole(loads: Loads, options: Options) -> Result:
    """Everyone on the same topic, half as long as that of `state`."""
    half = replace(options, count=options.count // 2)
    standings = await race(loads, CONTENDERS, count=half.count, users=half.users, rounds=half.rounds)
    return Result(
        name="whole",
        title="everything on: Postgres, Redis, every verdict and the flags out; one worker",
        setting=half.setting(),
        columns=COLUMNS,
        rows=table(standings),
        figures=[
            Figure("with odds, against the default rule", share(standings, ODDS.name), 0.75, 0.9),
            Figure("against stock Faust row by row", times(standings, STOCK_FAUST.name), 30, 60),
            Figure("against COPY alone", times(standings, COPY.name), 0.3, 0.5),
            Figure("against QuixStreams with its Postgres sink", times(standings, QUIX.name)),
        ],
        notes=[SETTINGS, RATE, *short(half.count), *failures(standings)],
    )
