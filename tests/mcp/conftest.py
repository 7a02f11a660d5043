from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.home import Home, temporary_home

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A home with a running daemon, shared by the tests of a module."""
    with temporary_home() as made:
        made.start()
        yield made


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the npm programs in package.json, installed at first use; its own Node is on their PATH."""
    modules = HERE / "node_modules"
    stamp = modules / ".installed"
    with (HERE / "package.json").open() as package:
        fcntl.flock(package, fcntl.LOCK_EX)  # one of several test processes installs
        wanted = package.read()
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(modules, ignore_errors=True)
            options = ["--no-package-lock", "--no-audit", "--no-fund", "--omit=dev", "--loglevel=error"]
            subprocess.run(["npm", "install", *options], cwd=HERE, check=True, capture_output=True, timeout=300)
            stamp.write_text(wanted)
    return modules / ".bin"


@pytest.fixture(scope="session")
def node_env(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment to run them in: the right Node first, and a home of their own."""
    home = tmp_path_factory.mktemp("node-home")
    path = f"{tools.parent / 'node' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "MCP_REMOTE_CONFIG_DIR": str(home / "mcp-remote")}
