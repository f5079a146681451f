"""The state measurement on QuixStreams; with a Postgres address, the whole one through its Postgres sink.

The windows are bytes: that spares it the JSON of its usual state values.
"""
# mypy: disable-error-code="import-not-found"

import os
import struct
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from quixstreams import Application, State
from quixstreams.sinks.community.postgresql import PostgreSQLSink

from benchmarks.peers.rule import hundredths, joined, scored, stands_out


def judge(transaction: dict[str, Any], state: State) -> dict[str, Any]:
    """The scored transaction; its amount joins the window."""
    amount = hundredths(transaction["amount"])
    data = state.get_bytes("window", b"")
    window = struct.unpack(f"{len(data) // 8}q", data)
    flagged = stands_out(window, amount)
    after = joined(window, amount)
    state.set_bytes("window", struct.pack(f"{len(after)}q", *after))
    return scored(transaction, window, flagged=flagged)


def is_flagged(row: dict[str, Any]) -> bool:
    """Whether it goes to the anomalies."""
    return bool(row["meta_data"]["is_anomaly"])


def postgres(url: str) -> PostgreSQLSink:
    """The sink into the table that txnwatch's migrations made."""
    parts = urlsplit(url)
    socket = parse_qs(parts.query).get("host", [None])[0]
    return PostgreSQLSink(
        host=socket or parts.hostname,
        port=parts.port or 5432,
        dbname=parts.path.strip("/"),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        table_name="transactions",
        schema_auto_update=False,
        include_metadata=False,
        on_conflict_do_nothing=True,
    )


def main() -> None:
    """Run until stopped."""
    app = Application(
        os.environ["PEER_KAFKA"],
        consumer_group=os.environ["PEER_RUN"],
        auto_offset_reset="earliest",
        commit_interval=int(os.environ["PEER_COMMIT_MS"]) / 1000,
        state_dir=os.environ["PEER_FOLDER"],
        producer_extra_config={"compression.type": "lz4", "linger.ms": 20},
        max_partition_buffer_size=100_000,
        loglevel="WARNING",
    )
    rows = app.dataframe(app.topic(os.environ["PEER_INPUT"])).apply(judge, stateful=True)
    if "PEER_POSTGRES" in os.environ:
        rows = rows.to_topic(app.topic(os.environ["PEER_SCORED"]))
        rows.filter(is_flagged).to_topic(app.topic(os.environ["PEER_OUTPUT"]))
        rows.sink(postgres(os.environ["PEER_POSTGRES"]))
    else:
        rows.filter(is_flagged).to_topic(app.topic(os.environ["PEER_OUTPUT"]))
    app.run()


if __name__ == "__main__":
    main()
