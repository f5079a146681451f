import json
import re
from dataclasses import is_dataclass
from typing import Any
from urllib.parse import urljoin

import jsonschema
import pytest
from yarl import URL

from api.routes import (
    buckets,
    changes,
    dashboard,
    labels,
    lists,
    live,
    rows,
    rules,
    session,
    transactions,
    users,
)
from api.routes.rows import Transactions
from api.settings import Settings
from api.web import docs
from api.web.asyncapi import asyncapi
from api.web.params import declared
from tests.support.rows import made, store, user
from tests.support.serving import Client

ALICE = user(1)
MODULES = (buckets, changes, dashboard, docs, labels, lists, live, rows, rules, session, transactions, users)
ROUTES = {
    "/dashboard",
    "/dashboard/{file}",
    "/dashboard/data/pulse",
    "/dashboard/data/workers",
    "/dashboard/data/refused",
    "/dashboard/data/rule",
    "/dashboard/data/users",
    "/dashboard/data/flags_from",
    "/dashboard/data/decisions",
    "/rules", "/rules/rollback", "/rules/history", "/decisions", "/transactions/{id}/label",
    "/login", "/login/{file}", "/session", "/sessions", "/session/ticket",
    "/lists/{name}", "/lists/{name}/add", "/lists/{name}/remove", "/suppressions",
    "/", "/docs", "/docs/{file}", "/openapi.json", "/asyncapi.json", "/health", "/ready", "/metrics",
    "/users", "/users/{user_id}/stats", "/transactions", "/transactions/{id}", "/anomalies",
    "/transactions/buckets", "/transactions/changes",     "/sse/transactions/{user_id}", "/sse/anomalies",
}  # fmt: skip

WITHOUT_SERVICES = {
    "/", "/docs", "/docs/{file}", "/openapi.json", "/asyncapi.json", "/health", "/metrics",
    "/dashboard", "/dashboard/{file}", "/login", "/login/{file}",
}  # fmt: skip


@pytest.fixture
async def document(client: Client) -> dict[str, Any]:
    async with client.get("/openapi.json") as response:
        assert response.content_type == "application/json"
        body: dict[str, Any] = await response.json()
        return body


async def test_the_root_leads_to_the_documentation(client: Client) -> None:
    async with client.get("/", allow_redirects=False) as response:
        at = response.url.join(URL(response.headers["Location"]))
        assert (response.status, at.path) == (307, "/docs")


async def test_the_page_and_all_that_it_loads_come_from_here(client: Client) -> None:
    async with client.get("/") as response:
        assert response.status == 200
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        page, at = await response.text(), str(response.url)
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) == 4
    for one in loaded:
        async with client.session.get(urljoin(at, one)) as response:
            assert response.url.origin() == client.make_url("/").origin()
            assert response.status == 200
            assert await response.read()
    async with client.get("/docs/start.js") as response:
        start = await response.text()
    assert "//" not in page + start
    assert "validatorUrl: null" in start


async def test_the_topics_are_described_as_they_are_named(client: Client, pages_settings: Settings) -> None:
    async with client.get("/asyncapi.json") as response:
        assert response.content_type == "application/json"
        assert await response.json() == json.loads(json.dumps(asyncapi(pages_settings)))


async def test_an_unchanged_file_is_not_sent_again(client: Client) -> None:
    for path in ("/docs", "/docs/swagger-ui-bundle.js"):
        async with client.get(path) as response:
            etag = response.headers["ETag"]
            assert await response.read()
        async with client.get(path, headers={"If-None-Match": etag}) as response:
            assert (response.status, await response.read()) == (304, b"")


async def test_every_route_that_is_served_is_described(client: Client, document: dict[str, Any]) -> None:
    assert client.app is not None
    served = {resource.canonical for resource in client.app.router.resources()}
    assert served == set(document["paths"]) == ROUTES


def operations_of(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Each path with each of its operations."""
    return [(path, one) for path, item in document["paths"].items() for one in item.values()]


async def test_the_document_has_the_structure_of_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert set(document["info"]) >= {"title", "version"}
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for path, operation in operations_of(document):
        assert operation["summary"]
        parameters = operation["parameters"]
        assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
        assert len({(one["name"], one["in"]) for one in parameters}) == len(parameters)
        for one in parameters:
            assert one["in"] != "path" or one["required"] is True
            jsonschema.Draft202012Validator.check_schema(one["schema"])
        assert any(status[0] in "23" for status in operation["responses"])
        assert set(operation["responses"]) >= {"422", "default"}
        assert ("503" in operation["responses"]) == (path not in WITHOUT_SERVICES)
        assert all(one["description"] for one in operation["responses"].values())
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


async def test_every_parameter_has_an_example_that_is_accepted(
    client: Client, document: dict[str, Any]
) -> None:
    kinds = {
        parameter.name: parameter.kind
        for module in MODULES
        for one in vars(module).values()
        if isinstance(one, type) and is_dataclass(one) and one.__module__ == module.__name__
        if not one.__name__.endswith("Routes")
        for parameter in declared(one)
    }
    seen = set()
    for path, operation in operations_of(document):
        for one in operation["parameters"]:
            assert one["schema"]["examples"]
            for example in one["schema"]["examples"]:
                jsonschema.validate(example, one["schema"])
                kinds[one["name"]].parse(str(example))
                if one["name"] == "file":
                    async with client.get(path.format(file=example)) as response:
                        assert response.status == 200
            seen.add(one["name"])
    assert seen >= {"user_id", "from_date", "is_anomaly", "limit", "cursor", "Last-Event-ID"}


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(_references(document))
    assert "#/components/schemas/Scored" in references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def _references(node: Any) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from _references(one)


def test_the_parameters_described_are_those_that_are_read(document: dict[str, Any]) -> None:
    described = {one["name"]: one for one in document["paths"]["/transactions"]["get"]["parameters"]}
    assert set(described) == {one.name for one in declared(Transactions)}
    assert described["limit"]["schema"] == {
        "type": "integer", "minimum": 1, "maximum": 1000, "examples": [100]
    }  # fmt: skip
    assert described["user_id"]["required"]


async def test_a_page_of_users_is_as_large_as_described_and_names_the_next(
    client: Client, database: str, document: dict[str, Any]
) -> None:
    [limit] = [one for one in document["paths"]["/users"]["get"]["parameters"] if one["name"] == "limit"]
    default, most = limit["schema"]["default"], limit["schema"]["maximum"]
    assert (default, most) == (1000, 10_000)
    known = sorted(user(number) for number in range(default + 1))
    await store(database, [made(one) for one in known])
    async with client.get("/users") as response:
        assert (await response.json())["users"] == known[:default]
        following = response.links["next"]["url"]
    async with client.session.get(str(following)) as response:
        assert (await response.json())["users"] == known[default:]
    async with client.get("/users", params={"limit": most}) as response:
        assert (await response.json())["users"] == known
        assert "next" not in response.links


async def test_answers_are_as_described(client: Client, database: str, document: dict[str, Any]) -> None:
    await store(database, [made(ALICE, n) for n in range(3)])
    for path in (
        "/health",
        "/users",
        f"/transactions?user_id={ALICE}&from_date=2018-01-01",
        "/anomalies",
    ):
        async with client.get(path) as response:
            body = await response.json()
        content = document["paths"][path.split("?")[0]]["get"]["responses"]["200"]["content"]
        jsonschema.validate(
            body, {**content["application/json"]["schema"], "components": document["components"]}
        )
    async with client.get("/nowhere") as response:
        problem = document["components"]["schemas"]["ProblemDocument"]
        jsonschema.validate(await response.json(), {**problem, "components": document["components"]})
