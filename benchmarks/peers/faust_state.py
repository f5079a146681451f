"""The state measurement on stock Faust, as its documentation shows: an agent, a table, JSON."""
# mypy: disable-error-code="untyped-decorator"

import os
from typing import Any

import faust

from benchmarks.peers.rule import hundredths, joined, scored, stands_out

app = faust.App(
    os.environ["PEER_RUN"],
    broker=f"kafka://{os.environ['PEER_KAFKA']}",
    store="rocksdb://",
    datadir=os.environ["PEER_FOLDER"],
    topic_partitions=4,
    web_bind="127.0.0.1",
    web_port=int(os.environ["PEER_WEB_PORT"]),
)
transactions = app.topic(
    os.environ["PEER_INPUT"], key_type=str, key_serializer="raw", value_serializer="json"
)
anomalies = app.topic(os.environ["PEER_OUTPUT"], key_type=str, key_serializer="raw", value_serializer="json")
windows = app.Table("windows", default=list, partitions=4)


@app.agent(transactions)
async def score(stream: faust.Stream) -> None:
    """Score each transaction and send the flagged ones on."""
    transaction: dict[str, Any]
    async for transaction in stream:
        user, amount = transaction["user_id"], hundredths(transaction["amount"])
        window = windows[user]
        if stands_out(window, amount):
            await anomalies.send(key=user, value=scored(transaction, window, flagged=True))
        windows[user] = joined(window, amount)


if __name__ == "__main__":
    app.main()
