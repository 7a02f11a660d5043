"""Where each client keeps its settings, on each platform, and what an entry looks like there."""

from __future__ import annotations

from pathlib import Path

import pytest

from jmem.cli.connect import CLIENTS
from jmem.cli.connect.place import Launch, Machine, is_ours, merged

STDIO = Launch("/opt/jmem", ("mcp", "--client", "x"))
URL = "http://127.0.0.1:8765/mcp/x/http/0b1c2d3e-0000-4000-8000-00000000abcd"
HTTP = Launch("/opt/jmem", ("mcp", "--client", "x"), {}, URL)
COMMAND = {"command": "/opt/jmem", "args": ["mcp", "--client", "x"]}

PATHS = {
    "claude": (
        ".config/Claude/claude_desktop_config.json",
        "Library/Application Support/Claude/claude_desktop_config.json",
        "AppData/Roaming/Claude/claude_desktop_config.json",
    ),
    "claude-code": (".claude.json",) * 3,
    "cursor": (".cursor/mcp.json",) * 3,
    "vscode": (
        ".config/Code/User/mcp.json",
        "Library/Application Support/Code/User/mcp.json",
        "AppData/Roaming/Code/User/mcp.json",
    ),
    "windsurf": (
        ".config/devin/mcp_config.json",
        ".config/devin/mcp_config.json",
        "AppData/Roaming/devin/mcp_config.json",
    ),
    "zed": (".config/zed/settings.json", ".config/zed/settings.json", "AppData/Roaming/Zed/settings.json"),
    "codex": (".codex/config.toml",) * 3,
    "gemini": (".gemini/settings.json",) * 3,
}
KEYS = {"vscode": "servers", "zed": "context_servers", "codex": "mcp_servers"}
ENTRIES = {
    "claude-code": ({"type": "stdio", **COMMAND}, {"type": "http", "url": URL}),
    "cursor": (COMMAND, {"url": URL}),
    "vscode": ({"type": "stdio", **COMMAND}, {"type": "http", "url": URL}),
    "windsurf": (COMMAND, {"transport": "http", "url": URL}),
    "zed": (COMMAND, {"url": URL}),
    "codex": (COMMAND, {"url": URL}),
    "gemini": (COMMAND, {"httpUrl": URL}),
}


def test_every_client_is_in_these_tables() -> None:
    assert set(CLIENTS) == set(PATHS) == {"claude", *ENTRIES}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(("system", "index"), [("linux", 0), ("darwin", 1), ("win32", 2)])
def test_the_file_a_client_would_create(tmp_path: Path, name: str, system: str, index: int) -> None:
    [place] = CLIENTS[name].used(Machine(system, tmp_path))
    assert place.path == tmp_path / PATHS[name][index]
    assert place.keys == (KEYS.get(name, "mcpServers"),)


@pytest.mark.parametrize("name", ENTRIES)
def test_entries(tmp_path: Path, name: str) -> None:
    [place] = CLIENTS[name].used(Machine("linux", tmp_path))
    stdio, http = ENTRIES[name]
    assert place.entry(STDIO) == stdio
    assert place.entry(HTTP) == http
    assert is_ours(stdio)
    assert is_ours(http)


def test_claude_desktop_takes_commands_only(tmp_path: Path) -> None:
    [place] = CLIENTS["claude"].used(Machine("linux", tmp_path))
    assert not CLIENTS["claude"].urls
    assert place.entry(STDIO) == COMMAND


def test_the_environment_moves_folders(tmp_path: Path) -> None:
    def path(name: str, **environ: str) -> Path:
        return CLIENTS[name].used(Machine("linux", tmp_path, environ))[0].path

    assert path("claude", XDG_CONFIG_HOME="/x") == Path("/x/Claude/claude_desktop_config.json")
    assert path("zed", XDG_CONFIG_HOME="/x") == Path("/x/zed/settings.json")
    assert path("claude-code", CLAUDE_CONFIG_DIR="/x") == Path("/x/.claude.json")
    assert path("codex", CODEX_HOME="/x") == Path("/x/config.toml")


def test_windows_packaged_claude_reads_its_own_copy(tmp_path: Path) -> None:
    machine = Machine("win32", tmp_path)
    packaged = tmp_path / "AppData/Local/Packages/Claude_abc123/LocalCache/Roaming/Claude"
    packaged.mkdir(parents=True)
    assert [p.path.parent for p in CLIENTS["claude"].used(machine)] == [packaged]
    (tmp_path / "AppData/Roaming/Claude").mkdir(parents=True)
    assert [p.path.parent for p in CLIENTS["claude"].used(machine)] == [packaged, tmp_path / "AppData/Roaming/Claude"]


def test_windsurf_writes_both_files_where_both_agents_are(tmp_path: Path) -> None:
    machine = Machine("linux", tmp_path)
    (tmp_path / ".codeium/windsurf").mkdir(parents=True)
    [cascade] = CLIENTS["windsurf"].used(machine)
    assert cascade.path == tmp_path / ".codeium/windsurf/mcp_config.json"
    assert cascade.entry(HTTP) == {"serverUrl": URL}
    (tmp_path / ".config/devin").mkdir(parents=True)
    assert len(CLIENTS["windsurf"].used(machine)) == 2


def test_installed_by_settings_command_or_application(tmp_path: Path) -> None:
    bin = tmp_path / "bin"
    bin.mkdir()
    for client in CLIENTS.values():
        machine = Machine("linux", tmp_path / client.name, {"PATH": str(bin)})
        assert not client.installed(machine)
        for command in client.commands:
            program = bin / command
            program.write_text("#!/bin/sh\n")
            program.chmod(0o755)
            assert client.installed(machine)
            program.unlink()
        sign = client.places(machine)[0].signs[0]
        sign.mkdir(parents=True)
        assert client.installed(machine)
    (tmp_path / "mac/Applications/Zed.app").mkdir(parents=True)
    assert CLIENTS["zed"].installed(Machine("darwin", tmp_path / "mac"))


def test_what_is_ours() -> None:
    assert is_ours({"serverUrl": "http://localhost:1/mcp/a.b/sse/0B1C2D3E-0000-4000-8000-00000000ABCD"})
    assert is_ours({"command": "uvx", "args": ["jmem", "mcp", "--client", "z"]})
    for other in (
        None,
        "x",
        {},
        {"command": "npx", "args": ["-y", "mcp"]},
        {"url": "https://example.com/mcp/x/http/y"},
    ):
        assert not is_ours(other)


def test_what_a_person_added_to_the_entry_stays() -> None:
    old = {**COMMAND, "command": "/old/jmem", "disabled": False, "env": {"LANG": "C", "JMEM_HOME": "/old"}}
    assert merged(old, COMMAND) == {**COMMAND, "disabled": False, "env": {"LANG": "C"}}
    assert merged(old, {"url": URL}) == {"url": URL, "disabled": False, "env": {"LANG": "C"}}
    assert merged({"command": "npx", "args": [], "disabled": True}, COMMAND) == COMMAND
    assert merged(None, COMMAND) == COMMAND
