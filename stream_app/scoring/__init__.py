"""The scoring core: detectors decide, the scorer takes batches through them. Nothing here does I/O."""

from stream_app.scoring.detector import Detector, DetectorError, Fitting, StateFormat
from stream_app.scoring.ensemble import Ensemble
from stream_app.scoring.merchants import MerchantRun, MerchantRuns
from stream_app.scoring.scorer import Scorer
from stream_app.scoring.verdict import Arrival, Scores, Verdict, identities_of, identity_of

__all__ = [
    "Arrival",
    "Detector",
    "DetectorError",
    "Ensemble",
    "Fitting",
    "MerchantRun",
    "MerchantRuns",
    "Scorer",
    "Scores",
    "StateFormat",
    "Verdict",
    "identities_of",
    "identity_of",
]
