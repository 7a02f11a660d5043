"""Zed: context servers in its settings file."""

from __future__ import annotations

from typing import Any

from jmem.cli.connect.place import Client, Launch, Machine, Place


def entry(launch: Launch) -> dict[str, Any]:
    """A command, or a url (streamable HTTP)."""
    return {"url": launch.url} if launch.url else launch.stdio()


def places(machine: Machine) -> list[Place]:
    """~/.config/zed (also on macOS), %APPDATA%\\Zed, and the Flatpak's own folder."""
    if machine.system == "win32":
        folders = [machine.roaming() / "Zed"]
    elif machine.system == "darwin":
        folders = [machine.home / ".config" / "zed"]
    else:
        folders = [machine.config() / "zed", machine.home / ".var" / "app" / "dev.zed.Zed" / "config" / "zed"]
    return [Place(f / "settings.json", ("context_servers",), entry, "jsonc", signs=(f,)) for f in folders]


CLIENT = Client(
    "zed",
    "Zed",
    places,
    "It starts the server by itself; the settings of its agent panel show it",
    commands=("zed", "zeditor"),
    app="Zed",
)
