"""Whether users are where they belong, as a worker's web view says it and the dashboard reads it."""

import msgspec


class Placement(msgspec.Struct, frozen=True):
    """What a worker has seen since its start of the partitions that users are on."""

    partitioner: str | None
    """The one that producers are taken to use; None while it is still learned."""
    misplaced: int
    """How many users were on a partition where it does not put them."""
