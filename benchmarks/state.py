"""`state`: Kafka in, windows in durable state, flags out."""

from dataclasses import replace

from benchmarks.contenders import BYTEWAX, FAUST, STATE_ONLY, KafkaStreams, PythonPeer, Txnwatch
from benchmarks.load import Loads
from benchmarks.options import Options
from benchmarks.race import Contender, race
from benchmarks.result import Figure, Result
from benchmarks.standings import COLUMNS, failures, short, table, times

STREAMS = KafkaStreams()
QUIX = PythonPeer("QuixStreams", "quix", ("-m", "benchmarks.peers.quix"))
BYTEWAX_PEER = PythonPeer("Bytewax", "bytewax", BYTEWAX, before=("-m", "bytewax.recovery", "{state}", "4"))
STOCK_FAUST = PythonPeer(
    "stock Faust", "faust", ("-m", "benchmarks.peers.faust_state", *FAUST), at_most=20_000
)
SETTINGS = (
    "Kafka Streams: at-least-once, 1 thread, Jackson, persistent store with cache and changelog, commits "
    "every second. QuixStreams: windows as bytes in RocksDB with changelog, commits every second. Bytewax: "
    "recovery on, a snapshot every second. Stock Faust: an agent, a table in RocksDB with changelog, JSON. "
    "txnwatch: a Kafka transaction a batch, every message validated."
)
RATE = (
    "A rate is the transactions over the time from the contender's first flag to its last, by the broker's "
    "clock. A contender with a smaller count gets fewer users in proportion, so that windows are as full. "
    "Each has to flag exactly the transactions that the rule flags, or it is left out."
)


async def state(loads: Loads, options: Options) -> Result:
    """Everyone on the same topic."""
    spared = [replace(peer, at_most=options.spared) for peer in (QUIX, BYTEWAX_PEER)]
    contenders: list[Contender] = [Txnwatch("txnwatch", STATE_ONLY), STREAMS, *spared, STOCK_FAUST]
    standings = await race(loads, contenders, count=options.count, users=options.users, rounds=options.rounds)
    return Result(
        name="state",
        title="Kafka in, windows in durable state, flags out; one worker",
        setting=options.setting(),
        columns=COLUMNS,
        rows=table(standings),
        figures=[
            Figure("against Kafka Streams, 1 thread", times(standings, STREAMS.name), 0.6, 1.0),
            Figure(
                "against the faster of QuixStreams and Bytewax",
                times(standings, QUIX.name, BYTEWAX_PEER.name),
                1.3,
                2.0,
            ),
            Figure("against stock Faust", times(standings, STOCK_FAUST.name)),
        ],
        notes=[SETTINGS, RATE, *short(options.count), *failures(standings)],
    )
