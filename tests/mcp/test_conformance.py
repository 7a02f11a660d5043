"""The official suite against this project's transports, with the tools it asks for lent by fixture_server.py."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.home import Home

HERE = Path(__file__).parent
TRANSPORT = {
    "2025-11-25": (
        "server-initialize",
        "server-session-lifecycle",
        "ping",
        "logging-set-level",
        "tools-call-with-logging",
        "tools-call-with-progress",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
    ),
    "2026-07-28": (
        "server-stateless",
        "tools-call-with-progress",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
        "caching",
        "http-header-validation",
        "http-custom-header-server-validation",
    ),
}
"""Scenarios of transport and lifecycle: none of them may ever be among the expected failures."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The fixture server's address; it runs in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-P", str(HERE / "fixture_server.py")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_the_conformance_suite_passes(
    revision: str, url: str, tools: Path, node_env: dict[str, str], tmp_path: Path
) -> None:
    expected = HERE / "expected-failures.yml"
    known = {line.strip("- ").strip() for line in expected.read_text().splitlines() if line.strip().startswith("- ")}
    command = [str(tools / "conformance"), "server", "--url", url, "--requirements", revision, "--timeout", "10000"]
    done = subprocess.run(
        [*command, "--output-dir", str(tmp_path)],
        env=node_env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )
    summary = done.stdout.partition("=== SUMMARY ===")[2]
    passed = {line.split()[1].rstrip(":") for line in summary.splitlines() if line.startswith("✓")}
    failed = {line.split()[1].rstrip(":") for line in summary.splitlines() if line.startswith("✗")}
    assert passed >= set(TRANSPORT[revision]), done.stdout[-4000:] + done.stderr[-2000:]
    assert failed <= known, done.stdout[-4000:]
    assert not passed & known, "a failure that is expected no longer happens: take it out of expected-failures.yml"


@pytest.mark.parametrize(
    ("revision", "scenario"),
    [
        ("2025-11-25", "server-initialize"),
        ("2025-11-25", "server-session-lifecycle"),
        ("2025-11-25", "ping"),
        ("2025-11-25", "tools-list"),
        ("2025-11-25", "dns-rebinding-protection"),
        ("2026-07-28", "tools-list"),
        ("2026-07-28", "http-header-validation"),
        ("2026-07-28", "dns-rebinding-protection"),
    ],
)
def test_the_daemon_itself_passes_what_needs_no_fixtures(
    home: Home, tools: Path, node_env: dict[str, str], tmp_path: Path, revision: str, scenario: str
) -> None:
    address = home.json("connect", "conformance", "--print")["http"]
    command = [
        str(tools / "conformance"),
        "server",
        "--url",
        address,
        "--spec-version",
        revision,
        "--scenario",
        scenario,
    ]
    done = subprocess.run(command, env=node_env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " 0 failed" in done.stdout
