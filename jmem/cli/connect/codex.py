"""Codex: the command line, the editor extension and the desktop app share one config.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jmem.cli.connect.place import Client, Launch, Machine, Place


def entry(launch: Launch) -> dict[str, Any]:
    """A command, or a url (streamable HTTP)."""
    return {"url": launch.url} if launch.url else launch.stdio()


def places(machine: Machine) -> list[Place]:
    """`$CODEX_HOME`, else ~/.codex."""
    folder = Path(machine.environ.get("CODEX_HOME") or machine.home / ".codex")
    return [Place(folder / "config.toml", ("mcp_servers",), entry, "toml", signs=(folder,))]


CLIENT = Client("codex", "Codex", places, "Start a new codex session; /mcp shows the server", commands=("codex",))
