"""Visual Studio Code and its Insiders build: mcp.json of the default profile."""

from __future__ import annotations

from typing import Any

from jmem.cli.connect.place import Client, Launch, Machine, Place


def entry(launch: Launch) -> dict[str, Any]:
    """A server with its type spelt out, as VS Code asks."""
    if launch.url:
        return {"type": "http", "url": launch.url}
    return {"type": "stdio", **launch.stdio()}


def places(machine: Machine) -> list[Place]:
    """One place for each build."""
    folders = [machine.application(name) / "User" for name in ("Code", "Code - Insiders")]
    return [Place(f / "mcp.json", ("servers",), entry, "jsonc", signs=(f,)) for f in folders]


CLIENT = Client(
    "vscode",
    "VS Code",
    places,
    "Run “MCP: List Servers” in it and start jmem there",
    commands=("code", "code-insiders"),
    app="Visual Studio Code",
)
