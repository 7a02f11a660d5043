"""Connecting MCP clients: which there are, where they keep their settings, and how one is written there."""

from __future__ import annotations

from jmem.cli.connect import claude, claude_code, codex, cursor, gemini, vscode, windsurf, zed
from jmem.cli.connect.place import Client

CLIENTS: dict[str, Client] = {
    module.CLIENT.name: module.CLIENT for module in (claude, claude_code, cursor, vscode, windsurf, zed, codex, gemini)
}
"""The clients whose configuration jmem can write, by name."""
