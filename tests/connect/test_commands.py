"""`jmem connect`, `disconnect` and `clients` as a person uses them, with a real daemon behind them."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.connect.conftest import Desk, command

KEY = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
CURSOR = '{\n  "mcpServers": {\n    "other": {"command": "npx"}\n  }\n}\n'


def initialize(url: str) -> int:
    """The status of an MCP handshake at a URL."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"}}}  # fmt: skip
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=30
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


# ---- --print


def test_print_gives_urls_and_command_and_writes_nothing(desk: Desk) -> None:
    said = desk.ok("connect", "claude", "--print")
    document = said.json
    assert list(document) == ["client", "sse", "http", "stdio"]
    assert re.fullmatch(rf"http://127\.0\.0\.1:\d+/mcp/claude/sse/{KEY}", document["sse"])
    assert document["http"] == document["sse"].replace("/sse/", "/http/")
    assert document["stdio"]["command"] == command()
    assert document["stdio"]["args"] == ["mcp", "--client", "claude"]
    assert document["stdio"]["env"] == {"JMEM_HOME": str(desk.jmem_home)}
    assert said.err == ""
    assert list(desk.home.iterdir()) == []
    assert desk.ok("connect", "claude", "--print").json == document


def test_print_takes_any_name_and_every_client_has_a_key_of_its_own(desk: Desk) -> None:
    urls = {name: desk.ok("connect", name, "--print").json["http"] for name in ("my-agent", "claude", "x2")}
    assert len({url.rsplit("/")[-1] for url in urls.values()}) == 3
    assert desk("connect", "Not A Name", "--print").code == 2
    assert initialize(urls["my-agent"]) == 200
    assert initialize(urls["my-agent"].replace("my-agent", "claude")) == 404


def test_rotate_ends_the_old_url(desk: Desk) -> None:
    old = desk.ok("connect", "my-agent", "--print").json["http"]
    new = desk.ok("connect", "my-agent", "--print", "--rotate").json["http"]
    assert new != old
    assert (initialize(old), initialize(new)) == (404, 200)


# ---- connecting


def test_connects_by_command_and_checks_it_through_the_file(desk: Desk) -> None:
    path = desk.file(".cursor/mcp.json", CURSOR)
    before = len(desk.memories())
    report = desk.ok("connect", "cursor", "--yes", "--check", "--json").json
    entry = json.loads(path.read_text())["mcpServers"]["jmem"]
    assert entry == {
        "command": command(),
        "args": ["mcp", "--client", "cursor"],
        "env": {"JMEM_HOME": str(desk.jmem_home)},
    }
    assert report["form"] == "stdio"
    assert Path(report["files"][0]["backup"]).read_text() == CURSOR
    assert report["check"][0]["tools"] == ["add_memories", "search_memory", "list_memories", "delete_memories"]
    assert len(desk.memories()) == before
    assert desk.ok("list", "--deleted", "--json").json["memories"] == []
    again = desk.ok("connect", "cursor").err
    assert "connected already" in again
    desk.ok("disconnect", "cursor", "--yes")
    assert path.read_text() == CURSOR


def test_connects_by_url_and_stays_so(desk: Desk) -> None:
    path = desk.file(".codex/config.toml", 'model = "x" # mine\n')
    desk.ok("connect", "codex", "--http", "--no-service", "--yes", "--check")
    [url] = re.findall(r'^url = "(.*)"$', path.read_text(), flags=re.MULTILINE)
    assert initialize(url) == 200
    assert "connected already" in desk.ok("connect", "codex", "--check").err
    desk.ok("connect", "codex", "--rotate", "--yes", "--check")
    [new] = re.findall(r'^url = "(.*)"$', path.read_text(), flags=re.MULTILINE)
    assert new != url
    desk.ok("connect", "codex", "--stdio", "--yes", "--check")
    assert "url" not in path.read_text()
    desk.ok("disconnect", "codex", "--yes")
    assert path.read_text() == 'model = "x" # mine\n'
    assert initialize(new) == 404


def test_a_key_is_made_after_the_answer(desk: Desk) -> None:
    path = desk.file(".codex/config.toml", 'model = "x"\n')
    shown = desk.ok("connect", "codex", "--http", "--dry-run").out
    assert "/mcp/codex/http/00000000-0000-0000-0000-000000000000" in shown
    assert desk.typed("n", "connect", "codex", "--http").code == 6
    assert desk.ok("clients", "--json").json["clients"] == []
    assert path.read_text() == 'model = "x"\n'
    assert desk.typed("y", "connect", "codex", "--http", "--no-service").code == 0
    [url] = re.findall(r'^url = "(.*)"$', path.read_text(), flags=re.MULTILINE)
    assert initialize(url) == 200
    assert desk.typed("n", "connect", "codex", "--rotate").code == 6
    assert initialize(url) == 200


def test_a_service_that_cannot_be_installed_is_told_and_ends_nothing(desk: Desk) -> None:
    desk.file(".codex/config.toml", "")
    bin = desk.file("bin/systemctl", "#!/bin/sh\necho no bus >&2\nexit 1\n").parent
    (bin / "systemctl").chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{bin}:{before}"
    try:
        said = desk("connect", "codex", "--http", "--yes", "--check")
    finally:
        os.environ["PATH"] = before
    assert said.code == 0, said
    assert "could not be set up to start by itself: no bus" in said.err
    assert not desk.file(".config").exists()
    assert "added and found" in said.err


def test_the_diff_is_shown_and_the_answer_counts(desk: Desk) -> None:
    path = desk.file(".cursor/mcp.json", CURSOR)
    said = desk.typed("n", "connect", "cursor")
    assert said.code == 6
    assert '+    "jmem": {' in said.out
    assert path.read_text() == CURSOR
    assert desk.typed("y", "connect", "cursor").code == 0
    assert "jmem" in json.loads(path.read_text())["mcpServers"]
    assert desk.typed("", "disconnect", "cursor").code == 0
    assert path.read_text() == CURSOR


def test_without_a_terminal_it_takes_yes(desk: Desk) -> None:
    path = desk.file(".cursor/mcp.json", CURSOR)
    said = desk("connect", "cursor")
    assert said.code == 6
    assert "--yes" in said.err
    assert path.read_text() == CURSOR


def test_dry_run_shows_and_writes_nothing(desk: Desk) -> None:
    path = desk.file(".cursor/mcp.json", CURSOR)
    said = desk.ok("connect", "cursor", "--dry-run")
    assert '+    "jmem": {' in said.out
    assert path.read_text() == CURSOR
    assert [file.name for file in path.parent.iterdir()] == ["mcp.json"]
    desk.ok("connect", "cursor", "--yes")
    assert '-    "jmem": {' in desk.ok("disconnect", "cursor", "--dry-run").out
    assert "jmem" in path.read_text()


def test_what_is_not_installed_says_what_to_do(desk: Desk) -> None:
    said = desk("connect", "zed", "--yes")
    assert said.code == 5
    assert ".config/zed" in said.err
    assert "jmem connect zed --print" in said.err
    assert list(desk.home.iterdir()) == []
    desk.ok("connect", "zed", "--yes", "--force")
    assert desk.file(".config/zed/settings.json").exists()
    desk.ok("disconnect", "zed", "--yes")
    assert list(desk.home.iterdir()) == []


def test_refusals(desk: Desk) -> None:
    desk.file(".config/Claude/claude_desktop_config.json", "{}")
    assert "no URLs" in desk("connect", "claude", "--http", "--yes").err
    assert desk("connect", "nonsense").code == 5
    assert "--print" in desk("connect", "nonsense").err
    assert desk("connect", "cursor", "--http", "--stdio").code == 2
    assert desk("disconnect").code == 2
    assert desk("disconnect", "cursor").code == 5
    assert desk("disconnect", "never-heard-of").code == 5


def test_a_broken_file_is_named_and_kept(desk: Desk) -> None:
    path = desk.file(".cursor/mcp.json", '{"mcpServers": ')
    said = desk("connect", "cursor", "--yes")
    assert said.code == 2
    assert str(path) in said.err
    assert "nothing was changed" in said.err
    assert path.read_text() == '{"mcpServers": '
    assert "broken settings" in desk.ok("connect").out
    assert desk.ok("clients", "--json").json["clients"] == [], "a connection that failed leaves no key"
    desk.ok("disconnect", "--all", "--yes")


def test_disconnect_revokes_the_key_of_a_program_whose_file_it_never_wrote(desk: Desk) -> None:
    path = desk.file(".cursor/mcp.json", '{"mcpServers": ')
    desk.ok("connect", "cursor", "--print")
    desk.ok("disconnect", "--all", "--yes")
    assert desk.ok("clients", "--json").json["clients"] == []
    assert path.read_text() == '{"mcpServers": '


def test_the_copy_that_is_named_is_what_it_is_called(desk: Desk) -> None:
    desk.file(".cursor/mcp.json", CURSOR)
    first = desk.ok("connect", "cursor", "--yes").err
    second = desk.ok("connect", "cursor", "--http", "--no-service", "--yes").err
    [copy] = re.findall(r"the old one is (\S+)", first)
    assert f"as it was before jmem, it is {copy}" in second
    assert Path(copy).read_text() == CURSOR


def test_alone_it_lists_what_is_there(desk: Desk) -> None:
    desk.file(".cursor/mcp.json", CURSOR)
    desk.file(".gemini/settings.json", "{}")
    desk.ok("connect", "gemini", "--yes")
    rows = {line.split("\t")[0]: line.split("\t")[1] for line in desk.ok("connect").out.splitlines()}
    assert list(rows) == ["claude", "claude-code", "cursor", "vscode", "windsurf", "zed", "codex", "gemini"]
    assert (rows["cursor"], rows["gemini"], rows["zed"]) == ("installed", "connected (stdio)", "not found")
    listed = {client["name"]: client for client in desk.ok("connect", "--json").json["clients"]}
    assert listed["gemini"]["connected"] == "stdio"
    assert listed["zed"]["installed"] is False


def test_disconnect_all(desk: Desk) -> None:
    cursor, gemini = desk.file(".cursor/mcp.json", CURSOR), desk.file(".gemini/settings.json", "{}")
    desk.ok("connect", "cursor", "--yes")
    desk.ok("connect", "gemini", "--yes")
    desk.ok("disconnect", "--all", "--yes")
    assert (cursor.read_text(), gemini.read_text()) == (CURSOR, "{}")
    assert desk.ok("clients", "--json").json["clients"] == []


def test_disconnect_all_goes_on_past_a_broken_file(desk: Desk) -> None:
    cursor, gemini = desk.file(".cursor/mcp.json", CURSOR), desk.file(".gemini/settings.json", "{}")
    desk.ok("connect", "cursor", "--yes")
    desk.ok("connect", "gemini", "--yes")
    cursor.write_text("{ broken")
    said = desk("disconnect", "--all", "--yes", "--json")
    assert (said.code, "can't be used" in said.err) == (1, False)
    reports = {report["client"]: report for report in said.json["clients"]}
    assert reports["cursor"]["problem"]["code"] == "broken_client_config"
    assert (reports["cursor"]["revoked"], reports["gemini"]["revoked"]) == (True, True)
    assert (cursor.read_text(), gemini.read_text()) == ("{ broken", "{}")
    assert desk.ok("clients", "--json").json["clients"] == []
    said = desk("disconnect", "--all", "--yes")
    assert said.code == 1
    assert said.err.count("can't be used") == 1
    cursor.write_text(CURSOR)
    desk("disconnect", "--all", "--yes")


def test_another_user_gets_a_server_of_their_own(desk: Desk) -> None:
    path = desk.file(".cursor/mcp.json", CURSOR)
    desk.ok("add", "bob's", "--user", "bob")
    desk.ok("connect", "cursor", "--yes")
    desk.ok("connect", "cursor", "--yes", "--check", "--user", "bob")
    servers = json.loads(path.read_text())["mcpServers"]
    assert servers["jmem-bob"]["args"] == ["mcp", "--client", "cursor", "--user", "bob"]
    assert "--user" not in servers["jmem"]["args"]
    desk.ok("disconnect", "cursor", "--yes", "--user", "bob")
    desk.ok("disconnect", "cursor", "--yes")
    assert path.read_text() == CURSOR


# ---- permissions


@pytest.mark.parametrize(("option", "step"), [("--no-write", "add_memories"), ("--no-read", "search_memory")])
def test_permissions_hold_for_what_was_written(desk: Desk, option: str, step: str) -> None:
    desk.file(".cursor/mcp.json", CURSOR)
    desk.ok("connect", "cursor", "--yes")
    desk.ok("clients", "set", "cursor", option)
    said = desk("connect", "cursor", "--check")
    assert said.code == 1
    assert step in said.err
    assert "jmem clients set cursor" in said.err
    assert [m for m in desk.memories() if "connection check" in m["content"]] == []
    desk.ok("clients", "set", "cursor", "--write", "--read")
    desk.ok("connect", "cursor", "--check")


def test_clients_shows_and_sets(desk: Desk) -> None:
    desk.ok("connect", "agent", "--print")
    assert desk.ok("clients").out == "agent\trwd\t\t\t\t\n"
    changed = desk.ok("clients", "set", "agent", "--no-delete", "--tag", "work", "--tag", "travel", "--json").json
    assert (changed["delete"], changed["tags"]) == (False, ["work", "travel"])
    assert desk.ok("clients", "set", "agent", "--all-tags").out == "agent\trw-\t\t\t\t\n"
    assert desk("clients", "set", "agent").code == 2
    assert desk("clients", "set", "agent", "--read", "--no-read").code == 2
    assert desk("clients", "set", "nobody", "--read").code == 5
    desk.ok("disconnect", "agent", "--yes")
    assert desk.ok("clients").out == ""
    revoked = {c["name"]: c["revoked"] for c in desk.ok("clients", "--revoked", "--json").json["clients"]}
    assert revoked["agent"] is True


# ---- doctor


def findings(desk: Desk, *args: str) -> dict[str, dict[str, str]]:
    document = desk("doctor", "--json", *args).json
    assert document["ok"] == (document["failed"] == 0)
    return {check["name"]: check for check in document["checks"]}


def test_doctor_finds_a_command_that_is_gone_and_repoints_it(desk: Desk) -> None:
    path = desk.file(".cursor/mcp.json", CURSOR)
    desk.ok("connect", "cursor", "--yes")
    assert findings(desk)["cursor"]["status"] == "ok"
    path.write_text(path.read_text().replace(command(), "/nowhere/jmem").replace("npx", "npx2"))
    found = findings(desk)["cursor"]
    assert (found["status"], found["fix"]) == ("fail", "jmem connect cursor")
    assert desk("doctor").code == 1
    mended = findings(desk, "--fix")["cursor"]
    assert (mended["status"], bool(mended["fixed"])) == ("ok", True)
    assert json.loads(path.read_text())["mcpServers"]["jmem"]["command"] == command()
    assert "npx2" in path.read_text()
    assert desk("doctor").code == 0


def test_doctor_finds_other_homes_ports_lost_entries_and_broken_files(desk: Desk) -> None:
    path = desk.file(".cursor/mcp.json", CURSOR)
    desk.ok("connect", "cursor", "--yes")
    path.write_text(path.read_text().replace(str(desk.jmem_home), "/other"))
    assert "/other" in findings(desk)["cursor"]["message"]
    path.write_text(CURSOR)
    assert "no entry" in findings(desk)["cursor"]["message"]
    path.write_text("{")
    assert findings(desk)["cursor"]["status"] == "fail"
    path.unlink()
    desk.ok("disconnect", "cursor", "--yes")
    codex = desk.file(".codex/config.toml", "")
    desk.ok("connect", "codex", "--http", "--no-service", "--yes")
    codex.write_text(re.sub(r":\d+/", ":1/", codex.read_text()))
    assert "port 1" in findings(desk)["codex"]["message"]


def test_doctor_judges_a_running_and_a_killed_daemon(desk: Desk) -> None:
    desk.ok("add", "I prefer aisle seats")
    pid = json.loads((desk.jmem_home / "run/daemon.lock").read_text())["pid"]
    found = findings(desk)
    assert str(pid) in found["daemon"]["message"]
    assert {found[name]["status"] for name in ("daemon", "port", "rows", "fulltext", "index")} == {"ok"}
    os.kill(pid, 9)
    said = desk("doctor", "--fix")
    assert said.code == 0, said
    assert "stale socket" not in desk("doctor").out
    assert [m["content"] for m in desk.memories()] == ["I prefer aisle seats"]
