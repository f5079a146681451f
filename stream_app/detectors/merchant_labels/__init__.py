"""`odds`, and the merchants at which one fraud after the other became known."""

from stream_app.detectors.merchant_labels.detector import MerchantLabels

__all__ = ["MerchantLabels"]
