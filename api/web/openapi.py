"""The OpenAPI 3.1 document, made from the routes, the types of their answers, and an example of each type."""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

import schemas
from api.web.gate import COOKIE, TICKET
from api.web.params import Parameter, declared
from api.web.problems import CONTENT_TYPE as PROBLEM_TYPE
from api.web.problems import ProblemDocument
from api.web.route import Route

_EXPORT = (
    "All of the range, one row a line where it is text, as following the pages would show it: a row that is "
    "inserted meanwhile may be missing. What fails midway ends the connection before the answer's end."
)
_EVENTS_ABOUT = (
    "Each default event is one row. `event: position` comes first, and when nothing else has for a while: "
    "its data is `{}`, and its `id:` is where the stream stands. `event: gap` is told when records before "
    "this are no longer in Kafka; its data has `missing`, by partition, and `fetch`, the query that has the "
    "rows. `retry:` says when to come back: with the last `id:`, nothing is missed or sent twice. A stream "
    "that ends at once has nothing to send yet, as Kafka does not answer or every place is taken."
)

_EVENTS_EXAMPLE = (
    "retry: 2741\nevent: position\nid: v2.HwyaPgAECAAAAAAAAAADAABgAAQL\ndata: {{}}\n\n"
    "id: v2.HwyaPgAECAAAAAAAAAADAABgAAQM\ndata: {row}\n\n"
)
_COMPONENTS = "#/components/schemas/"
_REFERENCE = f"{_COMPONENTS}{{name}}"
_TAGS = {
    "pages": "Pages of the past: rows, users and their windows",
    "feeds": "Streams of the present",
    "transactions": "Ways in",
    "rules": "The rule set that holds, and how to change it",
    "decisions": "All that was decided",
    "labels": "What became known of transactions",
    "lists": "Lists that rules look into",
    "suppressions": "Flags that are watched instead, for a time",
    "session": "Who is logged in",
    "service": "How the process is",
    "docs": "This documentation",
    "page": "The dashboard",
    "data": "What the dashboard asks for",
}
"""By how operation ids begin."""
_WAYS_IN = {
    "token": {"type": "http", "scheme": "bearer", "description": "Of `txnwatch tokens add`."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Of `POST /session`."},
    "ticket": {"type": "apiKey", "in": "query", "name": TICKET, "description": "Of `POST /session/ticket`."},
}
_EXAMPLES: dict[str, Any] = msgspec.json.decode(Path(__file__).with_name("examples.json").read_bytes())
"""Of each answer, by its type's name."""


def document(routes: Sequence[Route], root_path: str, *, login: bool) -> dict[str, Any]:
    """The whole document; every route is in it, under the path that a proxy serves them under."""
    taken = (kind for route in routes for kind in route.takes.values())
    types = dict.fromkeys([*(route.body for route in routes if route.body), *taken, ProblemDocument])
    found, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    schema_of = dict(zip(types, found, strict=True))
    labelled = components["LabelledRow"]["properties"]["label"]
    components |= _rows() | _transactions()
    scored = components["Scored"]
    components["LabelledRow"] = {**scored, "properties": scored["properties"] | {"label": labelled}}
    for name, component in components.items():
        # An indented line would be shown as code.
        component["description"] = cleandoc(component.get("description", ""))
        if name in _EXAMPLES:
            component["examples"] = [_EXAMPLES[name]]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "txnwatch",
            "version": version("txnwatch"),
            "description": "Scored transactions: pages of the past, streams of the present.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root_path or "/", "description": "Where this document is."}],
        "security": [{name: []} for name in _WAYS_IN] if login else [],
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items()],
        "paths": _paths(routes, schema_of),
        "components": {"schemas": components, **({"securitySchemes": _WAYS_IN} if login else {})},
    }


def _published(name: str, prefix: str = "") -> dict[str, Any]:
    """A published schema, whose parts are components under their names after the prefix."""
    text = (Path(schemas.__path__[0]) / f"{name}.schema.json").read_text()
    found: dict[str, Any] = json.loads(text.replace("#/$defs/", f"{_COMPONENTS}{prefix}"))
    return found


def _transactions() -> dict[str, Any]:
    """The published schema of what comes in, which may have ids in either case."""
    published = _published("transaction", "given_")
    parts = {f"given_{name}": part for name, part in published.pop("$defs").items()}
    return {"Transaction": _without_dialect(published), **parts}


def _without_dialect(published: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in published.items() if key[0] != "$"}


def _rows() -> dict[str, Any]:
    """The published schema of a row; with a flag's fields in `meta_data`, as few tools follow its `if`."""
    published = _published("scored")
    parts, meta_data = published.pop("$defs"), published["properties"]["meta_data"]
    others = {"type": "object", "additionalProperties": True}  # the producer's own
    flags = parts["flag"]["oneOf"]
    parts["flag"] = (flags[0] if len(flags) == 1 else parts["flag"]) | others
    meta_data |= others
    for one in flags:
        meta_data["properties"] |= one["properties"]
    detectors = [one["properties"]["detector"]["const"] for one in flags]
    meta_data["properties"]["detector"] = {"type": "string", "enum": detectors}
    return {"Scored": _without_dialect(published), **parts}


def _paths(routes: Sequence[Route], schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return paths


def _operation(route: Route, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        **_taken(route, schema_of),
        "summary": route.summary,
        "operationId": route.operation_id,
        "tags": [route.operation_id.partition("_")[0]],
        "parameters": [_parameter(parameter) for parameter in declared(route.parameters)],
        "responses": dict(_responses(route, schema_of)),
        **({} if route.needs else {"security": []}),
    }


def _taken(route: Route, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    content = {media: {"schema": schema_of[kind]} for media, kind in route.takes.items()}
    return {"requestBody": {"required": True, "content": content}} if content else {}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.kind.schema)
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
    success = _success(route, schema_of)
    others = {str(status): {**success, "description": when} for status, when in route.others.items()}
    responses = {str(route.status): success, **others}
    problem = {PROBLEM_TYPE: {"schema": schema_of[ProblemDocument]}}
    if route.finds:
        responses["404"] = {"description": "There is none.", "content": problem}
    responses["422"] = {
        "description": "A parameter is wrong, missing, repeated or unknown; `errors` names each.",
        "content": problem,
    }
    later = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    if route.bounded:
        about = "Too much of this is in work."
        responses["429"] = {"description": about, "headers": later, "content": problem}
    if route.depends:
        about = "Something that this needs is down."
        responses["503"] = {"description": about, "headers": later, "content": problem}
    responses["default"] = {"description": "Any other problem, such as 405 or 500.", "content": problem}
    return responses


def _success(route: Route, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    if not route.media:
        location = {"description": "Where to.", "schema": {"type": "string"}}
        return {"description": "Elsewhere.", "headers": {"Location": location}}
    text = {"type": "string"}
    content: dict[str, Any] = {route.media: {"schema": schema_of.get(route.body, text)}}
    if route.streams:
        content[route.media] = {
            "schema": {**text, "description": _EVENTS_ABOUT, "x-data": schema_of[route.body]},
            "example": _EVENTS_EXAMPLE.format(row=msgspec.json.encode(_EXAMPLES["Scored"]).decode()),
        }
    content |= {media: {"schema": {**text, "description": _EXPORT}} for media in route.exports}
    answer: dict[str, Any] = {"description": "What was asked for.", "content": content}
    if route.pages:
        link = {"description": 'The next page: `<?…>; rel="next"`.', "schema": {"type": "string"}}
        answer["headers"] = {"Link": link}
    if route.links:
        answer["links"] = {name: _link(route, name, **given) for name, given in route.links.items()}
    return answer


def _link(route: Route, name: str, operation: str = "", **values: str) -> dict[str, Any]:
    """A request that an answer leads to; without an operation, the same one."""
    return {
        "operationId": operation or route.operation_id,
        "description": f"The {name.replace('_', ' ')}.",
        "parameters": values,
    }
