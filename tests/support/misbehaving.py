"""Detectors that do what none may, each in one way."""

from collections.abc import Iterator
from math import inf, nan
from typing import Any, ClassVar

from schemas.transaction import Transaction
from stream_app.scoring import StateFormat
from stream_app.window import Window
from tests.support.largest import Evidence, Largest, Seen, Settings, decode, encode

SETTINGS = Settings(window_size=20, largest_factor=2, _env_file=None)


class Raising(Largest):
    """Cannot do with an amount of 13.00."""

    NAME = "raising"

    def score_one(
        self, window: Window, state: Seen, transaction: Transaction
    ) -> tuple[float, Evidence | None]:
        if transaction.amount == 1300:
            raise LookupError("no 13.00\nhere")
        return super().score_one(window, state, transaction)


class Scores(Largest):
    """Gives this as a score where it flags."""

    NAME = "scores"
    score: ClassVar[Any] = nan

    def score_one(self, window: Window, state: Seen, transaction: Transaction) -> Any:
        score, evidence = super().score_one(window, state, transaction)
        return score if evidence is None else self.score, evidence


class ScoresInfinity(Scores):
    score = inf


class ScoresNone(Scores):
    score = None


class ScoresText(Scores):
    score = "12"


class Explains(Largest):
    """Gives evidence that is none of its own."""

    NAME = "explains"

    def score_one(self, window: Window, state: Seen, transaction: Transaction) -> Any:
        score, evidence = super().score_one(window, state, transaction)
        return score, evidence and "because"


class Changes(Largest):
    """Counts in `score_one`, in a list that is its state."""

    NAME = "changes"
    STATE: ClassVar[Any] = StateFormat(
        version=1,
        fresh=[0],
        encode=lambda state: bytes([state[0] % 256]),
        decode=lambda data: [data[0]],
    )

    def score_one(self, window: Window, state: Any, transaction: Transaction) -> tuple[float, None]:
        state[0] += 1
        return 0.0, None

    def learn_one(self, window: Window, state: Any, transaction: Transaction, *, flagged: bool) -> Any:
        return state


class ChangesInLearning(Changes):
    """Counts in `learn_one`, in place."""

    def score_one(self, window: Window, state: Any, transaction: Transaction) -> tuple[float, None]:
        return 0.0, None

    def learn_one(self, window: Window, state: Any, transaction: Transaction, *, flagged: bool) -> Any:
        state[0] += 1
        return state


class ChangesTheWindow(Largest):
    """Lets the amount join."""

    NAME = "changes_the_window"

    def score_one(self, window: Window, state: Seen, transaction: Transaction) -> tuple[float, None]:
        window.push(transaction.amount, bytes(20), 20)
        return 0.0, None


class Undecided(Largest):
    """Says something else each time it is asked."""

    NAME = "undecided"
    _answers: ClassVar[Iterator[int]] = iter(range(10**9))

    def score_one(self, window: Window, state: Seen, transaction: Transaction) -> tuple[float, None]:
        return next(self._answers), None


class Hoards(Largest):
    """Keeps more than a state may have."""

    NAME = "hoards"
    STATE = StateFormat(version=1, fresh=Seen(), encode=lambda _: bytes(5000), decode=decode)


class CannotBePacked(Largest):
    """Has a state that cannot become bytes."""

    NAME = "cannot_be_packed"
    STATE = StateFormat(version=1, fresh=Seen(), encode=lambda _: encode(Seen(-1, 0)), decode=decode)


MISBEHAVING = {
    Raising: "LookupError: no 13.00 here",
    Scores: "ValueError: its score is nan",
    ScoresInfinity: "ValueError: its score is inf",
    ScoresNone: "TypeError: its score is None, which is no number",
    ScoresText: "TypeError: its score is '12', which is no number",
    Explains: "TypeError: its evidence is of str, not of its EVIDENCE",
    Changes: "ValueError: score_one changes the state that it is given",
    ChangesInLearning: "ValueError: learn_one changes the state that it is given",
    ChangesTheWindow: "ChangedWindowError: score_one changes the window",
    Undecided: "ValueError: score_one says (",
    Hoards: "ValueError: its state has 5000 bytes, of 4096 that it may have",
    CannotBePacked: "OverflowError: can't convert negative int to unsigned",
}
"""What is said of each."""
