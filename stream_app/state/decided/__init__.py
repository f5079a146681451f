"""A partition's side of the control log: what was decided, in the order of its numbers, between batches.

What a decision leaves is kept as notes of the partition, under keys that are no user's, in the changelog and
in RocksDB like its windows. The order of applying some is that of a batch: Postgres notes from which offset
of the source on they hold, then the changelog has the notes in one transaction, then RocksDB. A crash between
any two of these applies them again, from the same offset: nothing has been scored since.
"""
