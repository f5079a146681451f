"""Odds of fraud by what a user usually spends: a Bayesian filter for each user and currency."""

from stream_app.detectors.odds.detector import Odds

__all__ = ["Odds"]
