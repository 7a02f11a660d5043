"""The OpenAPI document, made from the routes' declarations when somebody asks for it."""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import jmem
from daemon import api
from daemon.http import JSON, PROBLEM, Route
from jmem.core.model import CLIENT_NAME
from jmem.core.wire import answers
from jmem.core.wire.base import Ask, Query, wants_lists

_TITLES = {404: "There is no such thing", 409: "Ambiguous, or changed since it was read", 413: "Too large",
           422: "Something in the request is not as it should be", 403: "Not permitted", 507: "The disk is full or failing"}  # fmt: skip
_ABOUT = """One person's memory for every AI assistant they use.

On 127.0.0.1 the bearer token decides whose memory a request is about. The unix socket takes no token: there the headers
X-Jmem-User (percent-encoded UTF-8, "default" without it) and X-Jmem-Client ("cli" without it) say who asks.
"""
_PATH_PARAMETERS = {
    "id": {
        "type": "string",
        "pattern": "^[0-9a-f-]{4,36}$",
        "description": "an id, or any part of one that fits no other",
    },
    "name": {"type": "string", "pattern": f"^{CLIENT_NAME.pattern}$", "description": "a client's name"},
    "device": {
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "description": "a device's id, as the account lists it",
    },
}


@functools.cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1 of every route."""
    routes = [route for group in api.groups() for route in group.all]
    schemas = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "jmem", "version": jmem.__version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "jmem daemon token"}},
        },
        "security": [{"token": []}],
    }  # fmt: skip


def _schemas(routes: list[Route]) -> dict[str, Any]:
    asks = {route.ask for route in routes}
    given = {model for route in routes for answer in route.answers.values() for model in _models(answer)}
    given.add(answers.Problem)
    modes: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = []
    modes += [(model, "validation") for model in sorted(asks, key=lambda model: model.__name__)]
    modes += [(model, "serialization") for model in sorted(given, key=lambda model: model.__name__)]
    _, definitions = models_json_schema(modes, ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas


def _models(answer: Any) -> tuple[type[BaseModel], ...]:
    options = answer if isinstance(answer, tuple) else (answer,)
    return tuple(each for each in options if inspect.isclass(each) and issubclass(each, BaseModel))


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.group}_{route.handler.__name__}", "summary": route.summary, "tags": [route.group],
        "description": inspect.getdoc(route.handler) or "", "parameters": _parameters(route, schemas),
        "responses": _responses(route),
    }  # fmt: skip
    if issubclass(route.ask, Ask):
        reference = {"$ref": f"#/components/schemas/{route.ask.__name__}"}
        required = bool(schemas[route.ask.__name__].get("required"))
        operation["requestBody"] = {"required": required, "content": {JSON: {"schema": reference}}}
    if route.path == "/health":
        operation["security"] = []
    return operation


def _parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if issubclass(route.ask, Query):
        lists = wants_lists(route.ask)
        for name, schema in schemas[route.ask.__name__].get("properties", {}).items():
            parameter = {"name": name, "in": "query", "required": False, "schema": _plain(schema)}
            if name in lists:
                parameter |= {"style": "form", "explode": True}
            found.append(parameter)
    found += [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
        for name, text in route.headers.items()
    ]
    return found


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter's schema without null, which a query string can't say."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
        return {**options[0], **rest}
    return schema


def _responses(route: Route) -> dict[str, Any]:
    problem = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses: dict[str, Any] = {}
    for status, answer in route.answers.items():
        if models := [{"$ref": f"#/components/schemas/{model.__name__}"} for model in _models(answer)]:
            content: dict[str, Any] = {JSON: {"schema": models[0] if len(models) == 1 else {"anyOf": models}}}
        elif isinstance(answer, str):
            content = {answer: {"schema": {"type": "string"}}}
        else:
            content = {JSON: {"schema": {"type": "object"}}}
        responses[str(status)] = {"description": route.summary, "content": content}
    for status in sorted({*route.problems, 422}):
        responses[str(status)] = {"description": _TITLES.get(status, "Problem"), "content": problem}
    responses["default"] = {"description": "Any other problem", "content": problem}
    return responses
