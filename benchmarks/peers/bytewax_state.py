"""The state measurement on Bytewax, with recovery on: run by `python -m bytewax.run` with a folder for it."""
# mypy: disable-error-code="import-not-found,misc"

import os
from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic

from benchmarks.peers.rule import hundredths, joined, scored, stands_out


class Windows(StatefulBatchLogic):
    """One user's window; Bytewax keeps it in memory and snapshots it into SQLite."""

    def __init__(self, window: list[int] | None) -> None:
        self.window = window or []

    def on_batch(self, values: list[dict[str, Any]]) -> tuple[list[KafkaSinkMessage], bool]:
        """The flags among one user's transactions; the user is kept."""
        flags = []
        for transaction in values:
            amount = hundredths(transaction["amount"])
            if stands_out(self.window, amount):
                row = scored(transaction, self.window, flagged=True)
                flags.append(KafkaSinkMessage(row["user_id"].encode(), orjson.dumps(row)))
            self.window = joined(self.window, amount)
        return flags, False

    def snapshot(self) -> list[int]:
        """What is kept: `joined` makes a new list each time, so this one no longer changes."""
        return self.window


def decode(messages: list[KafkaSourceMessage]) -> Iterable[tuple[str, dict[str, Any]]]:
    """The transactions by user."""
    transactions = [orjson.loads(message.value) for message in messages]
    return [(transaction["user_id"], transaction) for transaction in transactions]


brokers = [os.environ["PEER_KAFKA"]]
flow = Dataflow("peer")
source = op.input("source", flow, KafkaSource(brokers, [os.environ["PEER_INPUT"]], batch_size=4000))
flags = op.stateful_batch("score", op.flat_map_batch("decode", source, decode), Windows)
sink = KafkaSink(brokers, os.environ["PEER_OUTPUT"], add_config={"compression.type": "lz4"})
op.output("anomalies", op.key_rm("flags", flags), sink)
