"""Cursor: the global file, which every project sees; its command-line agent reads the same one."""

from __future__ import annotations

from typing import Any

from jmem.cli.connect.place import Client, Launch, Machine, Place


def entry(launch: Launch) -> dict[str, Any]:
    """A command, or a url from which Cursor finds the transport itself."""
    return {"url": launch.url} if launch.url else launch.stdio()


def places(machine: Machine) -> list[Place]:
    """~/.cursor/mcp.json on every platform."""
    folder = machine.home / ".cursor"
    return [Place(folder / "mcp.json", ("mcpServers",), entry, "jsonc", signs=(folder,))]


CLIENT = Client(
    "cursor",
    "Cursor",
    places,
    "Restart it and see that jmem is switched on under Settings, MCP",
    commands=("cursor", "cursor-agent"),
    app="Cursor",
)
