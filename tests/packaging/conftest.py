"""A copy of the checkout, and machines on which it can be installed: an empty home and a PATH of a few programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ("jmem", "daemon", "sync", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "NOTICE", "install.sh")
TOOLS = (
    "sh", "dirname", "basename", "mkdir", "ln", "rm", "readlink", "id", "sed", "grep", "uname", "tail", "mktemp", "cat",
    "ls", "chmod", "cp", "mv",
)  # fmt: skip
_INHERITED = re.compile(r"(SSL|CURL|REQUESTS|PIP|UV|HTTP|HTTPS|NO_PROXY|http|https|no_proxy)")


def copy_checkout(target: Path, dependencies: Sequence[str] | None = None) -> Path:
    """The files that are shipped, copied; with `dependencies`, needing only these."""
    target.mkdir()
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy2(source, target / name)
    if dependencies is not None:
        path = target / "pyproject.toml"
        listed = "dependencies = [" + ", ".join(f'"{d}"' for d in dependencies) + "]"
        text, count = re.subn(r"^dependencies = \[.*?^\]", listed, path.read_text(), flags=re.DOTALL | re.MULTILINE)
        assert count == 1
        path.write_text(text)
    return target


@dataclass
class Machine:
    """An empty home, and a PATH with a few tools and the programs that are asked for."""

    folder: Path
    programs: Sequence[Path] = ()
    path: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True)
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool, path="/usr/bin:/bin")
            assert found, tool
            (self.bin / tool).symlink_to(found)
        for program in self.programs:
            (self.bin / program.name).symlink_to(program)
        (self.bin / "python3").symlink_to(_base_python())

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def memories(self) -> Path:
        """Where jmem keeps its data here."""
        if sys.platform == "darwin":
            return self.home / "Library/Application Support/jmem"
        return self.home / ".local/share/jmem"

    def environ(self, **more: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if _INHERITED.match(k)}
        caches = {"UV_CACHE_DIR": _cache("uv"), "PIP_CACHE_DIR": _cache("pip")}
        path = os.pathsep.join(map(str, [*self.path, self.bin]))
        return {**caches, **inherited, "HOME": str(self.home), "PATH": path, **more}

    def run(
        self, *command: str | Path, input: str = "", check: bool = True, **more: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*map(str, command)], env=self.environ(**more), cwd=self.folder, input=input, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done


def _base_python() -> Path:
    return Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))


def _cache(name: str) -> str:
    return os.environ.get(f"{name.upper()}_CACHE_DIR") or str(Path.home() / ".cache" / name)


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder with uv and pipx of this environment."""
    return Path(sys.executable).parent
