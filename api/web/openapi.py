"""The OpenAPI 3.1 document, made from the table of routes and the types that answers are made of."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

import msgspec

from api.routes import examples
from api.routes.table import Route
from api.web.params import Parameter, declared
from api.web.problems import CONTENT_TYPE as PROBLEM_TYPE
from api.web.problems import ProblemDocument
from schemas.scored import Scored

_EXPORT = (
    "One row a line, and all of the range, as following the pages would show it: a row that is inserted "
    "meanwhile may be missing. What fails midway ends the connection before the answer's end."
)
_EVENTS_ABOUT = (
    "Each `data:` is one row. `event: gap` is told when records before this are no longer in Kafka; its data "
    "has `missing`, by partition, and `fetch`, the query that has the rows. A comment comes when nothing "
    "else has for a while. `retry:` says when to come back: with the last `id:`, nothing is missed or sent "
    "twice."
)

_REFERENCE = "#/components/schemas/{name}"


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole document; every route is in it."""
    types: list[Any] = [*dict.fromkeys(route.body for route in routes if route.body), ProblemDocument, Scored]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    schema_of = dict(zip(types, schemas, strict=True))
    for component in components.values():
        # An indented line would be shown as code.
        component["description"] = cleandoc(component.get("description", ""))
    for one in types:
        if one in examples.BODIES:
            components[one.__name__]["examples"] = [msgspec.to_builtins(examples.BODIES[one])]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "txnwatch",
            "version": version("txnwatch"),
            "description": "Scored transactions: pages of the past, streams of the present.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {route.path: {"get": _operation(route, schema_of)} for route in routes},
        "components": {"schemas": components},
    }


def _operation(route: Route, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "summary": route.summary,
        "operationId": route.answer.__qualname__.replace(".", "_").lower(),
        "parameters": [_parameter(route, parameter) for parameter in declared(route.parameters)],
        "responses": dict(_responses(route, schema_of)),
    }


def _parameter(route: Route, parameter: Parameter) -> dict[str, Any]:
    example = (
        examples.FILES[route.path] if parameter.name == "file" else examples.PARAMETERS.get(parameter.name)
    )
    schema = dict(parameter.kind.schema)
    schema.setdefault("examples", [example])
    if parameter.default is not None:
        schema["default"] = parameter.default
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.about,
        "schema": schema,
    }


def _responses(route: Route, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    responses = {str(route.status): _success(route, schema_of)}
    problem = {PROBLEM_TYPE: {"schema": schema_of[ProblemDocument]}}
    if route.finds:
        responses["404"] = {"description": "There is none.", "content": problem}
    responses["422"] = {
        "description": "A parameter is wrong, missing, repeated or unknown; `errors` names each.",
        "content": problem,
    }
    if route.depends:
        responses["503"] = {
            "description": "Something that this needs is down.",
            "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
            "content": problem,
        }
    responses["default"] = {"description": "Any other problem, such as 405 or 500.", "content": problem}
    return responses


def _success(route: Route, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    if not route.media:
        location = {"description": "Where to.", "schema": {"type": "string"}}
        return {"description": "Elsewhere.", "headers": {"Location": location}}
    schema: Any = schema_of[route.body] if route.body else {"type": "string"}
    content: dict[str, Any] = {route.media: {"schema": schema}}
    if route.streams:
        schema |= {"description": _EVENTS_ABOUT, "x-data": schema_of[Scored]}
        content[route.media]["example"] = examples.EVENTS
    content |= {media: {"schema": {"type": "string", "description": _EXPORT}} for media in route.exports}
    answer: dict[str, Any] = {"description": "What was asked for.", "content": content}
    if route.pages:
        link = {"description": 'The next page: `<?…>; rel="next"`.', "schema": {"type": "string"}}
        answer["headers"] = {"Link": link}
    return answer
