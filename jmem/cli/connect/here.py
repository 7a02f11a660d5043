"""This machine and this jmem, as a command sees them: the only place of this package that looks around."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from jmem.cli.connect.place import Launch, Machine
from jmem.core import places


def machine(environ: Mapping[str, str]) -> Machine:
    """The machine of an environment."""
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Machine("win32" if sys.platform == "win32" else sys.platform, Path(home) if home else Path.home(), environ)


def plain_home(environ: Mapping[str, str]) -> str:
    """The home that jmem takes in an environment with HOME alone: what a client that was started by a desktop has."""
    return places.home({key: environ[key] for key in ("HOME", "LOCALAPPDATA") if key in environ})


def program(environ: Mapping[str, str]) -> str:
    """The absolute path of the `jmem` that runs, as it was called: a link stays a link, so that it outlives upgrades."""
    called = Path(sys.argv[0])
    if called.stem == "jmem" and called.exists():
        return str(called.absolute())
    beside = Path(sys.executable).with_name("jmem.exe" if sys.platform == "win32" else "jmem")
    if beside.exists():
        return str(beside)
    return shutil.which("jmem", path=environ.get("PATH", "")) or str(beside)


def launch(client: str, user: str, home: str, environ: Mapping[str, str], url: str | None = None) -> Launch:
    """How `client` is to reach this jmem. JMEM_HOME goes along where the client would not find it by itself."""
    args = ("mcp", "--client", client, *(() if user == "default" else ("--user", user)))
    return Launch(program(environ), args, {"JMEM_HOME": home} if home != plain_home(environ) else {}, url)
