"""Every address of the hosted backend that is not a page stands in the guide, and OpenAPI describes every call."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route

from hosted.app import app_of
from hosted.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("hosted-api.md", "openmemory.md")
OPEN = {("GET", "/api/v1/auth"), ("POST", "/api/v1/devices/redeem")}
"""What needs no proof of who asks."""


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The whole app, which asks nobody anything until it serves."""
    return app_of(Settings(database_url="postgresql://nobody@localhost/none", supabase_url="http://localhost:1"))


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    found: dict[str, Any] = app.openapi()
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation for path, methods in document["paths"].items() for method, operation in methods.items()
    }  # fmt: skip


def named() -> set[tuple[str, str]]:
    """The calls that the pages name, as `METHOD /path`."""
    text = "".join((DOCS / page).read_text(encoding="utf-8") for page in PAGES)
    tables = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    return {(method, path) for method, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`?]*)`", tables)}


def test_every_call_is_in_the_guide_and_the_guide_names_no_other(app: FastAPI, document: dict[str, Any]) -> None:
    described = set(operations(document))
    missing = described - named()
    assert not missing
    served = {
        (method, route.path) for route in app.routes if isinstance(route, Route) for method in route.methods or ()
    }
    assert named() <= described | served


def test_every_address_of_programs_is_in_the_guide(app: FastAPI, document: dict[str, Any]) -> None:
    text = (DOCS / "hosted-api.md").read_text(encoding="utf-8")
    programs = ("/mcp", "/.well-known", "/openapi.json", "/health", "/ready", "/metrics")
    paths = {path for route in app.routes if (path := getattr(route, "path", "")).startswith(programs)}
    assert len(paths) > 8
    assert not {path for path in paths if path not in text}


def test_what_is_not_described_is_another_spelling_or_a_page(app: FastAPI, document: dict[str, Any]) -> None:
    described = {path.rstrip("/") for path in document["paths"]}
    tables = [router for one in app.routes if (router := getattr(one, "original_router", None)) is not None]
    routes = [route for table in tables for route in table.routes] + list(app.routes)
    hidden = {route.path for route in routes if isinstance(route, APIRoute) and not route.include_in_schema}
    programs = {path for path in hidden if path.startswith(("/api/", "/openmemory/"))}
    assert programs, "none of the other spellings is found"
    assert {path for path in programs if path.rstrip("/") not in described} == set()


def test_every_call_has_a_group_a_summary_and_a_name_of_its_own(document: dict[str, Any]) -> None:
    found = operations(document)
    assert len(found) > 50
    assert not [call for call, operation in found.items() if not operation.get("tags") or not operation.get("summary")]
    names = Counter(operation["operationId"] for operation in found.values())
    assert not [name for name, count in names.items() if count > 1]


def test_every_call_says_how_one_proves_who_asks(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    for call, operation in operations(document).items():
        assert bool(operation.get("security")) != (call in OPEN), call
        for one in operation.get("security", ()):
            assert set(one) <= set(schemes)


def test_every_call_says_how_it_fails(document: dict[str, Any]) -> None:
    assert "Problem" in document["components"]["schemas"]
    for call, operation in operations(document).items():
        statuses = operation["responses"]
        assert {"429", "503", "default"} <= set(statuses), call
        assert call in OPEN or {"401", "403", "422"} <= set(statuses), call
        for status, answer in statuses.items():
            if status == "default" or status >= "400":
                schema = answer["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, (call, status)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    references = set(re.findall(r"#/components/schemas/([A-Za-z0-9_.-]+)", str(document)))
    assert references <= set(schemas)


def test_what_writes_takes_an_idempotency_key(document: dict[str, Any]) -> None:
    reads = {("POST", "/api/v1/search"), ("POST", "/openmemory/api/v1/memories/filter"), *OPEN}
    for (method, path), operation in operations(document).items():
        takes = any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ()))
        assert takes == (method != "GET" and (method, path) not in reads), (method, path)
