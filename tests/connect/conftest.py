"""The real program on a desk of its own: a home folder with clients in it, and a daemon."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.home import Home

DEADLINE = 60.0


@dataclass(frozen=True)
class Said:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """A person's home folder, their jmem, and its daemon."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "h"
        self.jmem_home = folder / "j"
        self.home.mkdir()

    def environ(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {**kept, "HOME": str(self.home), "JMEM_HOME": str(self.jmem_home), "PYTHONWARNINGS": "error"}

    def __call__(self, *args: str) -> Said:
        done = subprocess.run(
            [command(), *args],
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def ok(self, *args: str) -> Said:
        said = self(*args)
        assert said.code == 0, said
        return said

    def typed(self, keys: str, *args: str) -> Said:
        """Run it on a terminal and type once it asks."""
        screen, terminal = pty.openpty()
        process = subprocess.Popen(
            [command(), *args], env=self.environ(), stdin=terminal, stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        seen, typed, deadline = b"", False, time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if select.select([screen], [], [], 0.1)[0]:
                try:
                    data = os.read(screen, 65536)
                except OSError:  # the terminal closed with the program
                    break
                seen += data
            if not typed and b"[Y/n]" in seen:
                os.write(screen, keys.encode() + b"\n")
                typed = True
        os.close(screen)
        return Said(process.wait(timeout=5), seen.decode().replace("\r\n", "\n"), "")

    def file(self, path: str, text: str | None = None) -> Path:
        """A file below the home folder, written when there is text."""
        target = self.home / path
        if text is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return target

    def memories(self) -> list[dict[str, Any]]:
        return list(self.ok("list", "--json").json["memories"])


def command() -> str:
    return str(Path(sys.executable).with_name("jmem"))


@pytest.fixture(scope="module")
def shared_desk() -> Iterator[Desk]:
    """One daemon for a module, on a short path."""
    folder = Path(tempfile.mkdtemp(prefix="jm-"))
    desk = Desk(folder)
    yield desk
    Home(desk.jmem_home).kill()
    shutil.rmtree(folder)


@pytest.fixture
def desk(shared_desk: Desk) -> Iterator[Desk]:
    """The desk with an empty home folder and nothing connected."""
    yield shared_desk
    shared_desk("disconnect", "--all", "--yes")
    shutil.rmtree(shared_desk.home)
    shared_desk.home.mkdir()
