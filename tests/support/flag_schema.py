"""The part of the published schema that is about flags, made of the detectors."""

from collections.abc import Iterable
from typing import Any

import msgspec

from stream_app.scoring import Detector

_RULE = {
    "description": "Which rule flagged it: a detector, its version and its settings.",
    "type": "string",
    "pattern": "^[0-9a-f]{8}$",
}


def flags_of(detectors: Iterable[type[Detector[Any]]]) -> dict[str, Any]:
    """One alternative a detector, told by `detector`."""
    return {"required": ["detector"], "oneOf": [evidence_of(one) for one in detectors]}


def evidence_of(detector: type[Detector[Any]]) -> dict[str, Any]:
    """What a flag of this detector is."""
    _, parts = msgspec.json.schema_components([detector.EVIDENCE])
    name = {"description": "Which detector flagged it.", "const": detector.NAME}
    evidence = parts[detector.EVIDENCE.__name__]
    return {
        "required": ["detector", *evidence["required"]],
        "properties": {"detector": name, "rule": _RULE, **evidence["properties"]},
    }
