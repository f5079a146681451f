"""The AsyncAPI 3.0 document of the topics, made from the published schemas and the types of records."""

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

import schemas
from infra.runtime.settings import TopicSettings
from schemas.decision import LABEL, LIST, RULE_OFF, RULES, SUPPRESSION, WARM, Decision
from schemas.labels import TransactionLabel
from schemas.lists import ListChange
from schemas.rules.rule_off import RuleOff
from schemas.rules.rule_set import RuleSpec
from schemas.rules.warming import Warming
from schemas.suppressions import Suppression

Schema = dict[str, Any]

_ABOUT = (
    "The topics that txnwatch reads and writes, as another program sees them. A user's records are on one "
    "partition and in order. txnwatch writes in transactions: with isolation.level=read_committed, each "
    "record is seen once."
)
_KAFKA = "0.5.0"  # the version of the binding
_SCHEMAS = "#/components/schemas/"
_BODIES = {
    LABEL: TransactionLabel,
    LIST: ListChange,
    RULE_OFF: RuleOff,
    RULES: RuleSpec,
    SUPPRESSION: Suppression,
    WARM: Warming,
}
"""Of a decision's body, by its kind; a rule set is a table with rules in it."""
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "string", "pattern": "^[0-9]+$"}
_SOURCE = {
    "source-partition": {**_NUMBER, "description": "The input's partition that it came from."},
    "source-offset": {
        **_NUMBER,
        "description": "Its offset there: with the partition, it names the input's record.",
    },
}
_VERDICT = {
    **_SOURCE,
    "rule": {**_TEXT, "pattern": "^[0-9a-f]{8}$", "description": "The version of the rule that decided."},
    "moved-from": {**_TEXT, "description": "Of a revision with another date: the former one."},
}
_REFUSAL = {
    "reason": {**_TEXT, "description": "A code: a field's name, json, text, key or size."},
    "detail": {**_TEXT, "description": "What is wrong, in words."},
    "source-topic": {**_TEXT, "description": "Where it was sent."},
    **_SOURCE,
    "source-timestamp": {**_NUMBER, "description": "Of the input's record, in milliseconds since 1970."},
    "source-partitions": {**_NUMBER, "description": "How many partitions the input had."},
    "cut-from": {**_NUMBER, "description": "How long the value was, where only its start is kept."},
}
_KEYS = {
    "user": {**_TEXT, "format": "uuid", "description": "user_id in lower case."},
    "seq": {**_NUMBER, "description": "The decision's number."},
    "any": {"description": "The refused record's, byte for byte."},
}


def asyncapi(settings: TopicSettings) -> dict[str, Any]:
    """The whole document; a topic that is switched off is left out."""
    found = {name: one for name, one in _channels(settings).items() if one[0]}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "txnwatch",
            "version": version("txnwatch"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(*one) for name, one in found.items()},
        "operations": {f"{one[2]}_{name}": _operation(name, one[2]) for name, one in found.items()},
        "components": {"messages": _messages(), "schemas": _components()},
    }


def _channels(settings: TopicSettings) -> dict[str, tuple[str, str, str, list[str]]]:
    """By name: the topic, what it is, what txnwatch does with it, and its messages."""
    kinds = [f"decision_{kind}" for kind in _BODIES]
    return {
        "transactions": (settings.transactions_topic, "Transactions to score.", "receive", ["transaction"]),
        "scored": (settings.scored_topic, "Every transaction with its verdict.", "send", ["verdict"]),
        "anomalies": (settings.anomalies_topic, "The flagged ones alone.", "send", ["verdict"]),
        "dlq": (settings.dlq_topic, "Refused records, with the reason.", "send", ["refused"]),
        "control": (
            settings.control_topic,
            "Decisions, the same on every partition, kept for ever.",
            "send",
            kinds,
        ),
    }


def _channel(topic: str, about: str, _: str, messages: list[str]) -> dict[str, Any]:
    return {
        "address": topic,
        "description": about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": _KAFKA}},
    }


def _operation(channel: str, action: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _messages() -> dict[str, Any]:
    refused = {"description": "The refused record's value, byte for byte."}
    return {
        "transaction": _message("transaction", "user", {"$ref": f"{_SCHEMAS}Transaction"}, {}),
        "verdict": _message("verdict", "user", {"$ref": f"{_SCHEMAS}Scored"}, _VERDICT),
        "refused": _message("refused", "any", refused, _REFUSAL)
        | {"contentType": "application/octet-stream"},
        **{f"decision_{kind}": _message(f"decision_{kind}", "seq", _decision(kind), {}) for kind in _BODIES},
    }


def _message(name: str, key: str, payload: Schema, headers: Mapping[str, Schema]) -> dict[str, Any]:
    given = {"headers": {"type": "object", "properties": {**headers}}} if headers else {}
    kafka = {"kafka": {"key": _KEYS[key], "bindingVersion": _KAFKA}}
    return {"name": name, "title": name.replace("_", " "), **given, "payload": payload, "bindings": kafka}


def _decision(kind: str) -> Schema:
    body: Schema = {"$ref": f"{_SCHEMAS}{_BODIES[kind].__name__}"}
    if kind == RULES:
        body = {"type": "object", "properties": {"rules": {"type": "array", "items": body}}}
    its = {"type": "object", "properties": {"kind": {"const": kind}, "body": body}}
    return {"allOf": [{"$ref": f"{_SCHEMAS}Decision"}, its]}


def _components() -> dict[str, Schema]:
    _, found = msgspec.json.schema_components(
        [Decision, *_BODIES.values()], ref_template=f"{_SCHEMAS}{{name}}"
    )
    of_records = {name: one for text in ("transaction", "scored") for name, one in _published(text)}
    return {**of_records, **{name: _plain(one) for name, one in found.items()}}


def _published(name: str) -> Iterator[tuple[str, Schema]]:
    """A published schema and its parts, each under a name of its own."""
    schema = json.loads((Path(schemas.__path__[0]) / f"{name}.schema.json").read_text())
    title, parts = schema["title"], schema.pop("$defs")
    yield title, _plain({key: one for key, one in schema.items() if key[0] != "$"}, title)
    for part, one in parts.items():
        yield f"{title}_{part}", _plain(one, title)


def _plain(node: Any, title: str = "") -> Any:
    """The same in the draft 7 that AsyncAPI has, where nothing counts beside a `$ref`."""
    if isinstance(node, list):
        return [_plain(one, title) for one in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _plain(one, title) for key, one in node.items()}
    if isinstance(about := plain.get("description"), str):
        plain["description"] = cleandoc(about)
    if isinstance(target := plain.pop("$ref", None), str):
        reference = {"$ref": target.replace("#/$defs/", f"{_SCHEMAS}{title}_")}
        return {**plain, "allOf": [reference]} if plain else reference
    return plain
