"""Where MCP clients keep their configuration, and what an entry for jmem looks like in each."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Form = Literal["json", "jsonc", "toml"]

_PERSONAL_URL = re.compile(r"/mcp/[a-z0-9][a-z0-9._-]*/(?:sse|http)/[0-9a-fA-F-]{32,36}/?$")
_TRANSPORT = frozenset({"type", "command", "args", "url", "serverUrl", "httpUrl", "transport"})


@dataclass(frozen=True)
class Machine:
    """A person's folders on one computer: what `sys.platform`, the home folder and the environment say."""

    system: str
    """linux, darwin or win32"""
    home: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def config(self) -> Path:
        """`$XDG_CONFIG_HOME`, else ~/.config."""
        return Path(self.environ.get("XDG_CONFIG_HOME") or self.home / ".config")

    def roaming(self) -> Path:
        """Windows' %APPDATA%."""
        return Path(self.environ.get("APPDATA") or self.home / "AppData" / "Roaming")

    def local(self) -> Path:
        """Windows' %LOCALAPPDATA%."""
        return Path(self.environ.get("LOCALAPPDATA") or self.home / "AppData" / "Local")

    def application(self, name: str) -> Path:
        """The folder of a desktop program's settings by the platform's custom."""
        if self.system == "darwin":
            return self.home / "Library" / "Application Support" / name
        return (self.roaming() if self.system == "win32" else self.config()) / name

    def which(self, command: str) -> str | None:
        """The path of a command on the person's PATH."""
        return shutil.which(command, path=self.environ.get("PATH", ""))


@dataclass(frozen=True)
class Launch:
    """How a client reaches jmem: by a command it starts, or by a URL when there is one."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None

    def stdio(self) -> dict[str, Any]:
        """`{"command", "args"}`, and `env` where the command needs one."""
        return {"command": self.command, "args": list(self.args), **({"env": dict(self.env)} if self.env else {})}


@dataclass(frozen=True)
class Place:
    """One file in which a client looks for MCP servers."""

    path: Path
    keys: tuple[str, ...]
    """the object that maps names to servers"""
    entry: Callable[[Launch], dict[str, Any]]
    form: Form = "json"
    signs: tuple[Path, ...] = ()
    """any of these exists where the client has ever run"""

    def present(self) -> bool:
        """Whether the client has left a sign of itself here."""
        return self.path.exists() or any(sign.exists() for sign in self.signs)


@dataclass(frozen=True)
class Client:
    """An MCP client that jmem knows how to configure."""

    name: str
    title: str
    places: Callable[[Machine], list[Place]]
    """every place it may read, the one to create first"""
    reload: str
    """what a person does for the client to notice"""
    commands: tuple[str, ...] = ()
    app: str = ""
    """its name in macOS' Applications folder"""
    urls: bool = True
    """whether its file takes URLs"""

    def installed(self, machine: Machine) -> bool:
        """Whether the client seems to be on this machine: its settings, its command or its application."""
        if any(place.present() for place in self.places(machine)):
            return True
        if any(machine.which(command) for command in self.commands):
            return True
        folders = (Path("/Applications"), machine.home / "Applications")
        return machine.system == "darwin" and any((f / f"{self.app}.app").exists() for f in folders if self.app)

    def used(self, machine: Machine) -> list[Place]:
        """The places to write: those that exist, else the one that the client would create."""
        places = self.places(machine)
        return [place for place in places if place.present()] or places[:1]


def is_ours(entry: Any) -> bool:
    """Whether a server's entry starts `jmem mcp` or has a personal URL of jmem."""
    if not isinstance(entry, dict):
        return False
    args = entry.get("args")
    if isinstance(args, list) and "mcp" in args and "--client" in args:
        return True
    urls = [entry.get(key) for key in ("url", "serverUrl", "httpUrl")]
    return any(isinstance(url, str) and _PERSONAL_URL.search(url) for url in urls)


def merged(old: Any, new: Mapping[str, Any]) -> dict[str, Any]:
    """The new entry with what a person added to the old one (disabled, timeouts, approvals) kept."""
    if not is_ours(old):
        return dict(new)
    kept = {k: v for k, v in old.items() if k not in _TRANSPORT and k not in new and k != "env"}
    env = {k: v for k, v in (old.get("env") or {}).items() if k != "JMEM_HOME"} | dict(new.get("env") or {})
    return {**new, **({"env": env} if env or "env" in new else {}), **kept}
