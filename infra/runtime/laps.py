"""How long each step of some work took, for metrics and traces."""

from time import perf_counter
from typing import NamedTuple, TypeVar, overload

T = TypeVar("T")


class Lap(NamedTuple):
    """One step, in seconds of `time.perf_counter`."""

    step: str
    began: float
    ended: float


class Laps:
    """The steps of some work, each from the end of the one before, the first from when this was made."""

    __slots__ = ("_ended", "done")

    def __init__(self) -> None:
        self._ended = perf_counter()
        self.done: list[Lap] = []

    @overload
    def end(self, step: str) -> None: ...
    @overload
    def end(self, step: str, result: T) -> T: ...
    def end(self, step: str, result: object = None) -> object:
        """Take note that this step has ended; what came of it is given back."""
        began, self._ended = self._ended, perf_counter()
        self.done.append(Lap(step, began, self._ended))
        return result
