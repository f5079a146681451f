"""Detectors of given settings, whatever the environment says."""

from fractions import Fraction

from schemas.scored import Flag
from stream_app.detectors.rolling_mean import Evidence, RollingMean, Settings
from stream_app.scoring import Scorer


def rolling_mean(size: int = 20, minimum: int = 10, factor: Fraction = Fraction(5)) -> RollingMean:
    """The default rule."""
    settings = Settings(window_size=size, window_minimum=minimum, factor=factor, _env_file=None)
    return RollingMean(settings)


def rolling_scorer(size: int = 20, minimum: int = 10, factor: Fraction = Fraction(5)) -> Scorer:
    """The default rule over windows of this size."""
    return Scorer(rolling_mean(size, minimum, factor), size)


def mean_flag(mean: str, window: int, ratio: float, threshold: str) -> Flag:
    """A flag of the default rule."""
    return Flag(RollingMean.NAME, Evidence(mean, window, ratio, threshold))
