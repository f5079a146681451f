"""Detectors of given settings, whatever the environment says."""

from datetime import datetime
from fractions import Fraction

from schemas.scored import Flag
from schemas.transaction import Transaction
from stream_app.detectors.rolling_mean import Evidence, RollingMean, Settings
from stream_app.scoring import Scorer, Verdict, identity_of
from stream_app.window.recent import entries_of


def rolling_mean(size: int = 20, minimum: int = 10, factor: Fraction = Fraction(5)) -> RollingMean:
    """The default rule."""
    settings = Settings(window_size=size, window_minimum=minimum, factor=factor, _env_file=None)
    return RollingMean(settings)


def rolling_scorer(
    size: int = 20, minimum: int = 10, factor: Fraction = Fraction(5), *, by_currency: bool = True
) -> Scorer:
    """The default rule over windows of this size."""
    return Scorer(rolling_mean(size, minimum, factor), size, by_currency=by_currency)


def mean_flag(mean: str, window: int, ratio: float, threshold: str) -> Flag:
    """A flag of the default rule."""
    return Flag(RollingMean.NAME, Evidence(mean, window, ratio, threshold))


def verdict_on(
    offset: int,
    transaction: Transaction,
    flag: Flag | None = None,
    *,
    revision: int = 0,
    moved_from: datetime | None = None,
) -> Verdict:
    """A verdict as the scorer gives it."""
    identity = identity_of(transaction.id)
    [entry] = entries_of([transaction], [identity])
    return Verdict(offset, identity, entry, transaction, flag, revision, moved_from)
