from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.home import Home, temporary_home
from tests.npm import npm_installed

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
    return npm_installed(HERE) / ".bin"


@pytest.fixture(scope="session")
def node_env(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment to run them in: the right Node first, and a home of their own."""
    home = tmp_path_factory.mktemp("node-home")
    path = f"{tools.parent / 'node' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "MCP_REMOTE_CONFIG_DIR": str(home / "mcp-remote")}
