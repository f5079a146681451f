"""Detectors by name, one file each: TXNWATCH_DETECTOR chooses."""

from collections.abc import Callable, Mapping

from stream_app.detectors.rolling_mean import RollingMean
from stream_app.scoring import Detector
from stream_app.settings import Settings

DETECTORS: Mapping[str, Callable[[Settings], Detector]] = {
    "rolling_mean": lambda settings: RollingMean(
        size=settings.window_size, minimum=settings.window_minimum, factor=settings.factor
    ),
}


def detector_of(settings: Settings) -> Detector:
    """The detector that the settings name; ValueError names those there are."""
    try:
        return DETECTORS[settings.detector](settings)
    except KeyError:
        raise ValueError(f"TXNWATCH_DETECTOR: {settings.detector!r} is none of {sorted(DETECTORS)}") from None
