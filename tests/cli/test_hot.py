"""What the common commands must not import: the whole process is to stay near a bare Python."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import Jmem

HEAVY = (
    "typer", "click", "rich", "http", "pydantic", "dataclasses", "inspect", "asyncio", "re", "enum", "typing", "json",
    "socket", "pathlib", "subprocess", "argparse", "datetime", "importlib.metadata", "contextlib", "collections",
)  # fmt: skip
WATCH = """
import os, sys
from jmem.cli import main
code = main.run(sys.argv[1:], os.environ)
sys.stdout.flush()
sys.stderr.write("\\n" + " ".join(sys.modules))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def known(jmem: Jmem) -> str:
    return jmem.ok("add", "the hot path is short").out.strip()


def bare() -> set[str]:
    """What Python imports by itself here (a site's .pth files included)."""
    out = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout
    return set(out.split())


@pytest.mark.parametrize(
    "argv",
    [["add", "something hot"], ["search", "short path"], ["list"], ["show", "ID"], ["list", "--json"], ["search", "é"]],
)
def test_hot_commands_import_little(argv: list[str], jmem: Jmem, known: str) -> None:
    argv = [known if word == "ID" else word for word in argv]
    result = jmem.ok(*argv, program=[sys.executable, "-c", WATCH], env={"PYTHONWARNINGS": ""})
    modules = set(result.err.rsplit("\n", 1)[1].split()) - bare()
    assert not sorted(modules & set(HEAVY))
    assert not [name for name in modules if name.startswith(("daemon", "sync", "jmem.core.store", "jmem.core.model"))]
    assert len(modules) < 40, sorted(modules)


def test_an_error_is_told_without_typer(jmem: Jmem) -> None:
    result = jmem("show", "ffffffff", program=[sys.executable, "-c", WATCH], env={"PYTHONWARNINGS": ""})
    assert result.code == 5
    assert not {"typer", "rich", "pydantic", "typing", "re"} & set(result.err.rsplit("\n", 1)[1].split())


def test_starting_the_daemon_needs_no_typer(jmem: Jmem) -> None:
    jmem.ok("daemon", "stop")
    result = jmem.ok("list", program=[sys.executable, "-c", WATCH], env={"PYTHONWARNINGS": ""})
    assert "typer" not in result.err.rsplit("\n", 1)[1].split()


@pytest.mark.parametrize("argv", [["--help"], ["search", "--help"], ["daemon", "--help"], ["--version"], []])
def test_help_needs_no_typer(argv: list[str], jmem: Jmem) -> None:
    result = jmem.ok(*argv, program=[sys.executable, "-c", WATCH], env={"PYTHONWARNINGS": ""})
    assert not {"typer", "rich", "pydantic", "textwrap", "typing", "re"} & set(result.err.rsplit("\n", 1)[1].split())
