"""The API and its description: every route is in it, and nothing made from it finds a hole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.home import Api, Home
from daemon import api as routes
from daemon.http import Table

HERE = Path(__file__).parent
FUZZ_S = 25
"""a third for each phase: on a busy machine still every case of the first, and a thousand in all"""
LEFT_OUT = ("/api/v1/events", "/api/v1/daemon/stop")
"""endless, and the end of the test"""


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    return dict(api.call("GET", "/openapi.json").body)


def test_every_route_is_described(document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in Table(routes.groups()).routes}
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        problems = [answer for status, answer in operation["responses"].items() if not status.startswith("2")]
        assert all(list(answer["content"]) == ["application/problem+json"] for answer in problems)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert name in document["components"]["schemas"]


def test_requests_made_from_the_description_find_no_hole(daemon: Home, api: Api, tmp_path: Path) -> None:
    for n in range(10):
        api.add(f"fact {n}", tags=["t"], thread="one")
    api.must("POST", "/clients", {"name": "claude"})
    command = [
        str(Path(sys.executable).with_name("st")), "--config-file", str(HERE / "schemathesis.toml"),
        "run", f"http://127.0.0.1:{daemon.state['port']}/openapi.json",
        "--header", f"Authorization: Bearer {daemon.token}", "--max-time", str(FUZZ_S), "--continue-on-failure",
        "--phases", "coverage,fuzzing,stateful", "--generation-database", ":memory:",
        *(argument for path in LEFT_OUT for argument in ("--exclude-path", path)),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    failures = [line for line in (daemon.path / "logs" / "daemon.log").read_text().splitlines() if '"error"' in line]
    assert failures == []


def test_tags_are_described_as_they_are_counted(api: Api, document: dict[str, Any]) -> None:
    assert api.add("tagged again and again", tags=["t"] * 100)["tags"] == ["t"]
    refused = api.call("POST", "/api/v1/memories", {"content": "tagged", "tags": [f"t{n}" for n in range(65)]})
    assert refused.body["code"] == "too_large"
    described = document["components"]["schemas"]["MemoryAsk"]["properties"]["tags"]
    assert "64 different" in described["description"]
    assert "maxItems" not in described
