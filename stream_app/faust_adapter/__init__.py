"""What of Faust is replaced, and why.

Faust keeps the process, the agent, the web views, the group's membership, and the assignor that puts the
source's and the changelog's partitions on the same worker. The methods overridden are those of
faust-streaming 0.15; tests/unit/test_transport.py fails when they change.

`consumer`, the transport. Faust runs its consumer in a thread, makes two tasks per message, and commits
offsets by acknowledgements, which a stream also gives for a message whose agent raised. Here the consumer
runs on the worker's own loop, an event is a batch of one partition, and offsets are committed in the batch's
own Kafka transaction, never by Faust.

`pump`, the fetching. Faust fetches all partitions in turn, ahead of what is processed. Here each partition
has a loop of its own that fetches the next batch after the last one is finished: partitions overlap, a
partition has one batch in flight, and batches grow with the backlog. What changes in aiokafka for it is in
`infra.runtime.aiokafka_changes`.

`recovery`, the restoring. Faust waits for a changelog's last offset, which in a changelog written in
transactions is a commit marker and never delivered. It reads aborted records too, and lets messages flow
although the next rebalance has begun. Here `stream_app.ownership` takes partitions over, and messages flow
only after the last rebalance.

`table`, the state. A write to Faust's table costs about 400 µs, and reaches RocksDB before its changelog
record is committed. Here the pipeline writes a batch's windows at once, after its transaction, and Faust's
table is a read-only view of them.

`worker`, the process. Faust does not end on SIGTERM while an agent hangs. Here stopping has a bound.
"""
