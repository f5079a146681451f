"""`--fit`: what history teaches detectors, by the labels that are known at its end."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import zip_longest

import msgspec

from stream_app.commands.backtest.rows import EARLIEST, Piece
from stream_app.detectors import detector_class, names_in
from stream_app.scoring import Fitting


def fittings_of(detectors: str) -> dict[str, Fitting]:
    """A fitting for each of these detectors that has a profile, by its name."""
    classes = [detector_class(name) for name in names_in(detectors)]
    fittings = {one.NAME: one.fitting(one.SETTINGS.load()) for one in classes}
    return {name: fitting for name, fitting in fittings.items() if fitting is not None}


def end_of(history: Iterable[Piece]) -> datetime:
    """The latest date of history."""
    latest = EARLIEST
    for piece in history:
        latest = max([latest, *(transaction.txn_date for transaction in piece.transactions)])
    return latest


def fit(
    history: Iterable[Piece], fittings: Mapping[str, Fitting], known_to: datetime, *, as_given: bool = False
) -> dict[str, msgspec.Struct]:
    """What history teaches; labels of transactions after `known_to`, or given after it, are not yet known.

    A label is given with its transaction, though it came later: a fitting sees history as it is known at its
    end, and what it makes of that decides about what comes afterwards.
    """
    several = [*fittings.values()]
    for piece in history:
        given = piece.known if as_given else []
        for transaction, label, at in zip_longest(piece.transactions, piece.labels, given):
            known = label if (at or transaction.txn_date) <= known_to else None
            for fitting in several:
                fitting.add(transaction, known)
    return {name: fitting.profile() for name, fitting in fittings.items()}
