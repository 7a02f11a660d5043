"""Replicas as a deployment runs them: processes of their own, which can be killed, over a Postgres that can be stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.hosted.conftest import APP, Databases
from tests.hosted.identity.conftest import Running
from tests.hosted.world import UNLIMITED, until


@dataclass
class Replica:
    """`python -m hosted serve`, on a port of its own."""

    process: subprocess.Popen[bytes]
    url: str
    log: IO[bytes]

    def lines(self) -> list[str]:
        self.log.seek(0)
        return self.log.read().decode().splitlines()

    def kill(self) -> None:
        """As a machine that loses its power."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()


@contextlib.contextmanager
def replica(database_url: str, supabase: Running, **settings: object) -> Iterator[Replica]:
    """A replica that is up."""
    known = {
        "database_url": database_url, "supabase_url": supabase.url, "drain_timeout": 1, "bind_host": "127.0.0.1",
        "supabase_anon_key": supabase.settings.publishable_key, "supabase_service_key": supabase.settings.secret_key,
        "embedder_provider": "bundled", **UNLIMITED, **settings,
    }  # fmt: skip
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[3]),
        **{name.upper(): str(value) for name, value in known.items()},
    }
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-P", "-m", "hosted", "serve", "--port", "0"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        made = Replica(process, "", log)

        def port() -> int:
            assert process.poll() is None, "\n".join(made.lines())
            told = [json.loads(line) for line in made.lines() if line.startswith("{") and '"serving"' in line]
            return int(told[0]["port"]) if told else 0

        try:
            made.url = f"http://127.0.0.1:{until(port, 'the replica does not start')}"
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="session")
def supabase() -> Iterator[Running]:
    """One double for all of the suite."""
    with Running() as running:
        yield running


@pytest.fixture(scope="module")
def database_url(databases: Databases, database_name: str) -> str:
    return databases.cluster.url(database_name, APP)
