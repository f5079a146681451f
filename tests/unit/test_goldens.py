"""What others rely on, kept as files: the OpenAPI document, every command's help, the names of metrics.

A change that is meant is written with `--update-goldens`, and read in the diff.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import jsonschema
import pytest
from click.testing import CliRunner

from api.metrics import Metrics
from api.routes.live import EVENT_ID
from api.web.asyncapi import asyncapi
from api.web.params import AMOUNT, FROM, TO, UUID
from infra.cli import main
from infra.ingest.metrics import IngestCounts
from infra.runtime.settings import TopicSettings
from stream_app.metrics import WorkerMetrics
from tests.support.serving import DEAD, serving, settings_from

GOLDENS = Path(__file__).parents[1] / "goldens"


def check(name: str, found: str, config: pytest.Config) -> None:
    golden = GOLDENS / name
    if config.option.update_goldens:
        golden.write_text(found)
    assert found == golden.read_text()


async def test_the_openapi_document_is_as_it_was(pytestconfig: pytest.Config) -> None:
    services = {
        "KAFKA_BOOTSTRAP_SERVERS": DEAD,
        "POSTGRES_URL": f"postgresql://{DEAD}",
        "REDIS_URL": f"redis://{DEAD}",
    }
    async with serving(settings_from(services)) as client, client.get("/openapi.json") as response:
        document = await response.json()

    check("openapi.json", json.dumps(document, indent=1) + "\n", pytestconfig)


def test_the_asyncapi_document_is_as_it_was(pytestconfig: pytest.Config) -> None:
    check("../../docs/asyncapi.json", json.dumps(asyncapi(TopicSettings()), indent=1) + "\n", pytestconfig)


def test_examples_are_what_they_are_examples_of() -> None:
    document = json.loads((GOLDENS / "openapi.json").read_text())
    seen = 0
    bodies = {
        content["schema"]["$ref"].rpartition("/")[2]
        for path in document["paths"].values()
        for operation in path.values()
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
        if "$ref" in content["schema"]
    }
    assert len(bodies) > 10
    for name in {"Scored", *bodies}:
        schema = {**document["components"]["schemas"][name], "components": document["components"]}
        for example in schema["examples"]:
            jsonschema.validate(example, schema)
            seen += 1
    for kind in (UUID, AMOUNT, FROM, TO, EVENT_ID):
        for example in kind.schema["examples"]:
            kind.parse(example)
            seen += 1
    assert seen > 5
    for path in ("/sse/anomalies", "/sse/transactions/{user_id}"):
        events = document["paths"][path]["get"]["responses"]["200"]["content"]["text/event-stream"]["example"]
        assert events.endswith("\n\n")
        assert json.loads(events.split("data: ")[-1])["id"]


def test_the_help_of_every_command_is_as_it_was(pytestconfig: pytest.Config) -> None:
    helps = [f"$ txnwatch {' '.join([*path, '--help'])}\n{text}" for path, text in helps_of(main, ())]

    check("help.txt", "\n".join(helps), pytestconfig)


def helps_of(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    yield path, CliRunner().invoke(main, [*path, "--help"], terminal_width=100, prog_name="txnwatch").output
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from helps_of(found, (*path, name))


def test_the_names_of_metrics_are_as_they_were(pytestconfig: pytest.Config) -> None:
    expositions = {
        "api": Metrics().text(),
        "ingest": IngestCounts().text(),
        "worker": WorkerMetrics().text(),
    }
    names = [
        f"{program} {line}\n"
        for program, text in expositions.items()
        for line in re.findall(r"^# (?:HELP|TYPE) (txnwatch_.*)$", text.decode(), re.MULTILINE)
    ]

    check("metrics.txt", "".join(names), pytestconfig)
