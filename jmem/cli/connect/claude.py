"""Claude Desktop. Its file takes commands only; URLs are for its connectors, which want public https."""

from __future__ import annotations

from jmem.cli.connect.place import Client, Launch, Machine, Place

FILE = "claude_desktop_config.json"


def places(machine: Machine) -> list[Place]:
    """The application's folder; on Windows the packaged build reads a private copy of it, which comes first."""
    folder = machine.application("Claude")
    found = []
    if machine.system == "win32":
        packaged = sorted((machine.local() / "Packages").glob("Claude_*"))
        found = [package / "LocalCache" / "Roaming" / "Claude" for package in packaged]
    return [Place(f / FILE, ("mcpServers",), Launch.stdio, signs=(f,)) for f in [*found, folder]]


CLIENT = Client(
    "claude",
    "Claude Desktop",
    places,
    "Quit it entirely (from its menu or tray icon) and start it again",
    commands=("claude-desktop",),
    app="Claude",
    urls=False,
)
