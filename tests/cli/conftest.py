"""Runs the real program: in a pipe, on a terminal, and through typer."""

from __future__ import annotations

import fcntl
import os
import pty
import secrets
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.home import Home

THROUGH_TYPER = """
import os, sys
from jmem.cli import fast, main
fast.parse = fast.help_wanted = lambda argv: None
main.main()
"""
DEADLINE = 30.0


@dataclass(frozen=True)
class Result:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass
class Jmem:
    """The program with one home."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def environ(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        clean = {
            "JMEM_HOME": str(self.home),
            "PYTHONWARNINGS": "error",
            "TERM": "xterm-256color",
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
        }
        return {**kept, **clean, **self.env, **(extra or {})}

    def apart(self) -> Jmem:
        """Another user of the same daemon, with a memory of its own; it exists from its first add on."""
        return Jmem(self.home, {**self.env, "JMEM_USER": f"user-{secrets.token_hex(4)}"})

    def __call__(
        self,
        *args: str,
        stdin: str | bytes | None = None,
        env: dict[str, str] | None = None,
        program: list[str] | None = None,
    ) -> Result:
        """Run it in a pipe; no stdin means an empty one."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [*(program or command()), *args],
            input=data or b"",
            capture_output=True,
            env=self.environ(env),
            timeout=DEADLINE,
        )
        return Result(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    def ok(self, *args: str, **options: object) -> Result:
        """As a call, and it must succeed."""
        result = self(*args, **options)  # type: ignore[arg-type]
        assert result.code == 0, result
        return result

    def typer(self, *args: str, **options: object) -> Result:
        """As a call, but parsed by typer."""
        return self(*args, program=[sys.executable, "-c", THROUGH_TYPER], **options)  # type: ignore[arg-type]

    def tty(
        self, *args: str, columns: int = 80, keys: bytes = b"", wait_for: str = "", env: dict[str, str] | None = None
    ) -> Result:
        """Run it on a terminal; `keys` are typed once `wait_for` is on the screen. `out` is all that the terminal got."""
        screen, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [*command(), *args], stdin=terminal, stdout=terminal, stderr=terminal, env=self.environ(env),
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(terminal)
        seen, typed = b"", not keys
        deadline = time.monotonic() + DEADLINE
        try:
            while time.monotonic() < deadline:
                if select.select([screen], [], [], 0.1)[0]:
                    try:
                        data = os.read(screen, 65536)
                    except OSError:
                        break
                    if not data:
                        break
                    seen += data
                if not typed and wait_for.encode() in seen:
                    os.write(screen, keys)
                    typed = True
            code = process.wait(timeout=5)
        finally:
            process.kill()
            os.close(screen)
        return Result(code, seen.decode("utf-8", "replace").replace("\r\n", "\n"), "")


def command() -> list[str]:
    """The installed program, beside the interpreter that runs the tests."""
    return [str(Path(sys.executable).with_name("jmem"))]


@pytest.fixture(scope="module")
def make_jmem() -> Iterator[Callable[..., Jmem]]:
    """Makes homes on a short path, and kills their daemons at the end."""
    made: list[Jmem] = []

    def make(**env: str) -> Jmem:
        jmem = Jmem(Path(tempfile.mkdtemp(prefix="jmem-")), env)
        made.append(jmem)
        return jmem

    yield make
    for jmem in made:
        Home(jmem.home).kill()
        shutil.rmtree(jmem.home, ignore_errors=True)


@pytest.fixture(scope="module")
def jmem(make_jmem: Callable[..., Jmem]) -> Jmem:
    """One home, and its daemon, for a module."""
    return make_jmem()
