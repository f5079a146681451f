"""The part of the published schema that is about flags, made of the detectors."""

from collections.abc import Iterable
from typing import Any

import msgspec

from stream_app.scoring import Detector
from stream_app.scoring.rules.applied import RULES

_RULES = {
    "severity": {"description": "The gravest of its reasons'.", "$ref": "#/$defs/severity"},
    "reasons": {"description": "The rules that flagged it, the gravest first.", "$ref": "#/$defs/reasons"},
}
_RULE = {
    "description": "Which rule flagged it: a detector, its version and its settings.",
    "type": "string",
    "pattern": "^[0-9a-f]{8}$",
}


def flags_of(detectors: Iterable[type[Detector[Any]]]) -> dict[str, Any]:
    """One alternative a detector, told by `detector`, and one of rules alone; rules may be in all."""
    name = {"description": "That rules alone flagged it.", "const": RULES}
    alone = {"required": ["detector", *_RULES], "properties": {"detector": name, "rule": _RULE}}
    every = [*map(evidence_of, detectors), alone]
    return {"required": ["detector"], "properties": _RULES, "oneOf": every}


def evidence_of(detector: type[Detector[Any]]) -> dict[str, Any]:
    """What a flag of this detector is."""
    _, parts = msgspec.json.schema_components([detector.EVIDENCE])
    name = {"description": "Which detector flagged it.", "const": detector.NAME}
    evidence = parts[detector.EVIDENCE.__name__]
    return {
        "required": ["detector", *evidence["required"]],
        "properties": {"detector": name, "rule": _RULE, **evidence["properties"]},
    }
