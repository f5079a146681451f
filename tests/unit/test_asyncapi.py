"""The AsyncAPI document says of the topics' records what the code writes and takes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator

from api.web.asyncapi import asyncapi
from infra.runtime.settings import TopicSettings
from schemas import decision
from schemas.dead_letter import Place, encode_dead_letter
from schemas.labels import TransactionLabel
from schemas.lists import changes
from schemas.rules.features import Feature
from schemas.rules.rule_off import RuleOff
from schemas.rules.rule_set import rule_set_of
from schemas.rules.warming import Warming
from schemas.scored import RULE_HEADER, moved_headers, source_headers
from schemas.suppressions import Suppression
from tests.support.rows import FLAG, made, user

DOCUMENT = asyncapi(TopicSettings())
NOW = datetime(2018, 4, 1, tzinfo=UTC)
BODIES: dict[str, Any] = {
    decision.LABEL: TransactionLabel(user(), NOW, user(), "m-1", fraud=True, explained=False),
    decision.LIST: changes("trusted", "put", ["m-1"])[0],
    decision.RULE_OFF: RuleOff("many small ones", 7, "KeyError"),
    decision.RULES: rule_set_of(
        {"detector": "odds", "rules": [{"name": "large", "when": "amount > 100"}]}
    ).plain(),
    decision.SUPPRESSION: Suppression(NOW, user()),
    decision.WARM: Warming([Feature("count", 3600)], NOW),
}


def validator(message: str) -> Draft7Validator:
    payload = DOCUMENT["components"]["messages"][message]["payload"]
    Draft7Validator.check_schema(payload)
    return Draft7Validator({**payload, "components": DOCUMENT["components"]})


def headers_of(message: str) -> set[str]:
    return set(DOCUMENT["components"]["messages"][message]["headers"]["properties"])


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            assert len(node) == 1, node  # nothing counts beside it in draft 7
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from references(one)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert "#/components/schemas/Scored_uuid" in found
    for reference in found:
        place: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_every_topic_is_described_unless_it_is_switched_off() -> None:
    settings = TopicSettings()
    addresses = {one["address"] for one in DOCUMENT["channels"].values()}
    assert addresses == set(settings.topics) - {settings.changelog_topic}
    off = asyncapi(TopicSettings(TXNWATCH_SCORED_TOPIC="", TXNWATCH_TRANSACTIONS_TOPIC="payments"))
    assert set(DOCUMENT["channels"]) - set(off["channels"]) == {"scored"}
    assert off["channels"]["control"]["address"] == "payments.control"


@pytest.mark.parametrize("row", [made(user()), made(user(), flag=FLAG, country="IN", revision=2)])
def test_verdicts_are_as_described(row: Any) -> None:
    validator("verdict").validate(row.shown)
    assert not validator("verdict").is_valid({**row.shown, "amount": 1})


@pytest.mark.parametrize(("message", "schema"), [("transaction", "transaction"), ("verdict", "scored")])
def test_the_examples_of_the_published_schemas_are_as_described(message: str, schema: str) -> None:
    published = json.loads(files("schemas").joinpath(f"{schema}.schema.json").read_text())
    for example in published["examples"]:
        validator(message).validate(example)


@pytest.mark.parametrize("kind", BODIES)
def test_decisions_are_as_described(kind: str) -> None:
    body = msgspec.to_builtins(BODIES[kind])
    told = json.loads(decision.Decision(7, kind, body, "ann", "", NOW).encode())
    validator(f"decision_{kind}").validate(told)
    assert not validator(f"decision_{kind}").is_valid({**told, "kind": "another"})
    assert not validator(f"decision_{kind}").is_valid({**told, "body": 7})


def test_all_kinds_of_decisions_are_described() -> None:
    kinds = {value for name, value in vars(decision).items() if name.isupper() and isinstance(value, str)}
    assert kinds == set(BODIES)
    assert set(DOCUMENT["channels"]["control"]["messages"]) == {f"decision_{kind}" for kind in kinds}


def test_the_headers_are_those_that_are_written() -> None:
    letter = encode_dead_letter(
        b"k",
        b"v" * 2_000_000,
        reason="size",
        detail="",
        topic="t",
        source=Place(0, 0),
        source_ms=0,
        partitions=4,
    )
    assert headers_of("refused") == {name for name, _ in letter[2]}
    written = [*source_headers(0, (RULE_HEADER, b""))(0), *moved_headers(NOW)]
    assert headers_of("verdict") == {name for name, _ in written}
