"""Requests made from the OpenAPI document, legal ones and others: none of them makes the backend fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosted.conftest import APP, Databases
from tests.hosted.identity.conftest import Running
from tests.hosted.isolation.requests import ENDS, operations
from tests.hosted.world import served

CONFIG = Path(__file__).parents[2] / "contract" / "schemathesis.toml"
FUZZ_S = 20
STREAMS = [one.path for one in operations() if one.streams]
"""endless"""
CLOSING = [*(name.partition(" ")[2] for name in ENDS), "/api/v1/devices/{device}"]
"""what ends the session that asks"""


def test_requests_made_from_the_description_find_no_hole(
    databases: Databases, database_name: str, supabase: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = databases.cluster.url(database_name, APP)
    with served(url, databases.cluster.url(database_name), supabase) as world:
        me = world.person()
        for n in range(10):
            me.add(f"fact {n}", tags=["t"], thread="one")
        me.must("POST", "/keys", {"name": "a key"})
        me.must("POST", "/connections", {"client": "claude"})
        command = [
            str(Path(sys.executable).with_name("st")), "--config-file", str(CONFIG),
            "run", f"{world.url}/openapi.json", "--header", f"Authorization: Bearer {me.token}",
            "--max-time", str(FUZZ_S), "--continue-on-failure", "--phases", "coverage,fuzzing,stateful",
            "--max-examples", "15", "--generation-database", ":memory:",
            *(argument for path in STREAMS for argument in ("--exclude-path", path)),
            *(argument for path in CLOSING for argument in ("--exclude-path", path)),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert me.must("GET", "/account")["email"] == me.email  # the session was good all the while
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
