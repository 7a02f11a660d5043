"""Gemini CLI: servers in the user's settings."""

from __future__ import annotations

from typing import Any

from jmem.cli.connect.place import Client, Launch, Machine, Place


def entry(launch: Launch) -> dict[str, Any]:
    """A command, or httpUrl: a plain url would mean the older SSE transport."""
    return {"httpUrl": launch.url} if launch.url else launch.stdio()


def places(machine: Machine) -> list[Place]:
    """~/.gemini/settings.json on every platform."""
    folder = machine.home / ".gemini"
    return [Place(folder / "settings.json", ("mcpServers",), entry, "jsonc", signs=(folder,))]


CLIENT = Client("gemini", "Gemini CLI", places, "Start gemini again; /mcp shows the server", commands=("gemini",))
