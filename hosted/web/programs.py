"""How each program is given a personal URL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snippet:
    """Something to copy. `file`: where it goes; empty for a command or a bare address."""

    text: str
    label: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that can be connected. `steps` tell how, `make` fills in the address."""

    name: str
    title: str
    about: str
    steps: tuple[str, ...]
    make: Callable[[str, str], tuple[Snippet, ...]]
    public: bool = False
    """it reaches addresses on the internet only"""


def _json(value: object) -> str:
    return json.dumps(value, indent=2)


def _desktop(http: str, sse: str) -> tuple[Snippet, ...]:
    older = _json({"mcpServers": {"jmem": {"command": "npx", "args": ["-y", "mcp-remote", http]}}})
    return (
        Snippet(http, "Address of the connector"),
        Snippet(older, "Or, without connectors", "claude_desktop_config.json"),
    )


def _code(http: str, sse: str) -> tuple[Snippet, ...]:
    return (Snippet(f"claude mcp add --transport http --scope user jmem {http}", "Command"),)


def _cursor(http: str, sse: str) -> tuple[Snippet, ...]:
    return (Snippet(_json({"mcpServers": {"jmem": {"url": http}}}), "Settings", "~/.cursor/mcp.json"),)


def _vscode(http: str, sse: str) -> tuple[Snippet, ...]:
    return (Snippet(_json({"servers": {"jmem": {"type": "http", "url": http}}}), "Settings", ".vscode/mcp.json"),)


def _chatgpt(http: str, sse: str) -> tuple[Snippet, ...]:
    return (Snippet(http, "Address of the connector"),)


def _other(http: str, sse: str) -> tuple[Snippet, ...]:
    return (Snippet(http, "Streamable HTTP"), Snippet(sse, "SSE, for older programs"))


_ALL = (
    Program("claude", "Claude Desktop", "The Claude app on your computer, and claude.ai", (
        "Open Settings, then Connectors, then Add custom connector.",
        "Name it jmem and paste the address.",
        "Ask Claude what it remembers about you.",
    ), _desktop, public=True),
    Program("claude-code", "Claude Code", "Claude in your terminal", (
        "Run the command in a terminal.",
        "Start claude and ask what it remembers about you.",
    ), _code),
    Program("cursor", "Cursor", "The editor", (
        "Put this into the file; if there is one already, add the jmem part to its mcpServers.",
        "Open Cursor Settings, then MCP, and check that jmem is on.",
        "Ask it what it remembers about you.",
    ), _cursor),
    Program("vscode", "VS Code", "With GitHub Copilot", (
        "Put this into the file of your project, or into the user settings with MCP: Open User Configuration.",
        "Press Start above the entry, and use agent mode.",
        "Ask it what it remembers about you.",
    ), _vscode),
    Program("chatgpt", "ChatGPT", "On the web, with developer mode", (
        "Open Settings, then Connectors, then Advanced, and switch developer mode on.",
        "Choose Create, name it jmem, paste the address, and choose No authentication.",
        "Pick jmem in a new chat and ask what it remembers.",
    ), _chatgpt, public=True),
    Program("other", "Any other program", "Whatever speaks MCP", (
        "Give the program one of the addresses. It needs no other key.",
        "Ask it what it remembers about you.",
    ), _other),
)  # fmt: skip
PROGRAMS: Mapping[str, Program] = {program.name: program for program in _ALL}


def program_of(client: str) -> Program:
    """How a client is connected; one that is not known here is any other program."""
    return PROGRAMS.get(client, PROGRAMS["other"])
