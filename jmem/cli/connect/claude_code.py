"""Claude Code: servers of the user's scope, which every project sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jmem.cli.connect.place import Client, Launch, Machine, Place


def entry(launch: Launch) -> dict[str, Any]:
    """A server as `claude mcp add --scope user` writes it."""
    if launch.url:
        return {"type": "http", "url": launch.url}
    return {"type": "stdio", **launch.stdio()}


def places(machine: Machine) -> list[Place]:
    """~/.claude.json, or the folder that CLAUDE_CONFIG_DIR names."""
    moved = machine.environ.get("CLAUDE_CONFIG_DIR")
    folder = Path(moved) if moved else machine.home
    signs = (folder,) if moved else (machine.home / ".claude",)
    return [Place(folder / ".claude.json", ("mcpServers",), entry, signs=signs)]


CLIENT = Client(
    "claude-code", "Claude Code", places, "Start a new claude session; /mcp shows the server", commands=("claude",)
)
