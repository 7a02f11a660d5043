"""Windsurf, now Devin Desktop: its local agent and the older Cascade agent read different files."""

from __future__ import annotations

from typing import Any

from jmem.cli.connect.place import Client, Launch, Machine, Place


def local_entry(launch: Launch) -> dict[str, Any]:
    """Devin's schema: unknown keys are refused."""
    return {"transport": "http", "url": launch.url} if launch.url else launch.stdio()


def cascade_entry(launch: Launch) -> dict[str, Any]:
    """Cascade spells the address serverUrl."""
    return {"serverUrl": launch.url} if launch.url else launch.stdio()


def places(machine: Machine) -> list[Place]:
    """Devin's folder and Codeium's; both are written where both exist."""
    devin = machine.roaming() / "devin" if machine.system == "win32" else machine.home / ".config" / "devin"
    cascade = machine.home / ".codeium" / "windsurf"
    return [
        Place(devin / "mcp_config.json", ("mcpServers",), local_entry, "jsonc", signs=(devin,)),
        Place(cascade / "mcp_config.json", ("mcpServers",), cascade_entry, "jsonc", signs=(cascade,)),
    ]


CLIENT = Client(
    "windsurf",
    "Windsurf (Devin Desktop)",
    places,
    "Refresh the list of MCP servers in its settings, or restart it",
    commands=("windsurf", "devin"),
    app="Windsurf",
)
