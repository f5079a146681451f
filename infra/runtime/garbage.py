"""Python's cycle collector, in processes that serve for long."""

import gc

_MANY = 20
"""Collections of a generation until the next older one is collected."""


def collect_seldom(objects: int) -> None:
    """Have the young collected once so many have been made, and what is there now never again.

    Call it once all is imported and connected: that is hundreds of thousands of objects, and to look through
    them takes 70 to 140 ms, in which no request is answered. A request or record leaves hardly a cycle.
    """
    gc.set_threshold(objects, _MANY, _MANY)
    gc.freeze()
