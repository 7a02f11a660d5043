"""Every place and dialog as a picture: with memories, without any, and when the daemon is gone.

What differs from run to run (moments of accesses, process ids, paths) is told by a client that says fixed things instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from bench.home import Home, temporary_home
from jmem.client import Client
from jmem.tui import state
from jmem.tui.prefs import Prefs
from jmem.tui.screens import activity, onboarding, review, status
from jmem.tui.widgets.log import Entry
from tests.tui.conftest import NOW, STORE, Open, texts, until
from tests.tui.snapshots import check

pytestmark = pytest.mark.usefixtures("still", "calm")
SIZES = [(80, 24), (140, 40)]
sizes = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")

FULL: dict[str, tuple[str, tuple[str, ...]]] = {
    "memories": ("newest first", ()),
    "search": ("found", tuple("long flights")),
    "marked": ("2 marked", ("enter", "space", "space")),
    "filters": ("Filters", ("enter", "f")),
    "reader": ("created", ("enter", "enter")),
    "editor": ("Edit", ("enter", "e")),
    "tags": ("Tags", ("enter", "t")),
    "history": ("3 versions", (*"close to the front", "enter", "h")),
    "explain": ("meaning", (*"long flights", "enter", "w")),
    "activity": ("cursor", ("enter", "2")),
    "review": ("hermes", ("enter", "3")),
    "duplicates": ("left", ("enter", "4")),
    "status": ("daemon", ("enter", "5")),
    "settings": ("contrast", ("enter", "6")),
    "help": ("Write a new memory", ("enter", "question_mark")),
}
"""name -> what the screen shows when it stands, and the keys that lead there"""
BARE: dict[str, tuple[str, tuple[str, ...]]] = {
    "onboarding": ("Welcome", ()),
    "no-memories": ("Nothing is remembered", ("escape",)),
    "no-activity": ("Programs", ("escape", "enter", "2")),
    "no-review": ("Nothing", ("escape", "enter", "3")),
    "no-duplicates": ("looked at", ("escape", "enter", "4")),
}


UNDER_WAY: list[str] = []
"""the paths of the daemon's that are asked for and not answered yet"""


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's answers without the moment and the machine of this run, whose processor rounds in its own way."""
    accesses, search, clients, read = Client.accesses, Client.search, Client.clients, state.read
    request = Client.request

    def noted(self: Client, method: str, path: str, *args: Any, **options: Any) -> Any:
        UNDER_WAY.append(path)
        try:
            return request(self, method, path, *args, **options)
        finally:
            UNDER_WAY.remove(path)

    def told(self: Client, query: Any, id: str | None = None) -> Any:
        page = accesses(self, query, id)
        others = [access for access in page["accesses"] if access["client"] != "tui"]
        for number, access in enumerate(others):
            access["at"] = f"2026-11-25T11:{59 - number:02}:00.000Z"
            access["detail"] |= {"took_ms": 12.0} if "took_ms" in access["detail"] else {}
        return page

    def known(self: Client) -> Any:
        seen = {"last_seen": "2026-11-25T11:58:00.000Z", "connected_at": "2026-11-23T09:00:00.000Z"}
        return [c | {name: at for name, at in seen.items() if c.get(name)} for c in clients(self)]

    def how(daemon: Client) -> state.State:
        found = read(daemon)
        if found.status:
            found.status["daemon"].update(pid=4711, rss_mb=180.0, port=8765, uptime_s=7200, socket="run/jmem.sock")
        if found.index:
            found.index["bytes"] = 148_000
        if found.backups:
            made = {"path": "daily.db", "name": "daily.db", "kind": "daily", "created_at": "2026-11-25T09:00:00.000Z"}
            found.backups.update(backups=[made | {"memories": 19, "bytes": 152_000}], next="2026-11-26T09:00:00.000Z")
        log = (Entry("2026-11-25 10:00", "info", "started", "port=8765"),)
        return replace(found, bytes=421_000, home="/home/ana/.local/share/jmem", log=log)

    def asked(self: Client, request: Any) -> Any:
        answer = search(self, request)
        for number, hit in enumerate(answer["results"], 1):
            hit["score"] = 0.85 / number
            if explain := hit.get("explain"):
                explain["text"]["score"] = explain["text"]["score"] and 3.8 / number
                explain["vector"] |= {"score": 0.53 / number, "z": 1.76 / number}
                explain |= {"recency": 0.1, "total": 3.4 / number}
        return answer | {"took_ms": 12.0}

    programs = [
        ("claude-code", "Claude Code", "connected"),
        ("cursor", "Cursor", "installed"),
        ("zed", "Zed", "not found"),
    ]
    monkeypatch.setattr(onboarding, "_programs", lambda user: programs)
    for place, rest in ((activity, "SETTLE_S"), (review, "SETTLE_S"), (review, "REST_S")):
        monkeypatch.setattr(place, rest, 0.02)  # below the pause that `play` waits for
    monkeypatch.setattr(Client, "request", noted)
    monkeypatch.setattr(Client, "accesses", told)
    monkeypatch.setattr(Client, "clients", known)
    monkeypatch.setattr(Client, "search", asked)
    monkeypatch.setattr(status, "read", how)
    monkeypatch.setattr(state, "time", SimpleNamespace(time=lambda: NOW, localtime=time.gmtime, strftime=time.strftime))


@pytest.fixture(scope="module")
def told(full: Home) -> Home:
    """The full home, with programs that asked and one that waits for review."""
    for client, question in (("claude", "which seat should I book"), ("cursor", "when can I deploy")):
        full.jmem("connect", client, "--print")
        mcp = full.mcp(client)
        mcp.tool("search_memory", query=question)
        mcp.close()
    full.jmem("clients", "set", "cursor", "--review", "--writes-per-hour", "20")
    return full


@pytest.fixture(scope="module")
def bare() -> Iterator[Home]:
    """A daemon without a memory."""
    with temporary_home() as home:
        home.start()
        yield home


async def play(pilot: Pilot[None], sign: str, keys: tuple[str, ...]) -> None:
    """Press the keys, wait for the sign, until nothing is asked and the screen has stood still for a moment."""
    for key in keys:
        await pilot.press({" ": "space"}.get(key, key))
        await pilot.pause()
    await until(pilot, lambda: sign in texts(pilot))
    before = ""
    while before != (before := texts(pilot)) or UNDER_WAY:
        await pilot.pause(0.1)
    for line in pilot.app.screen.query(Input):
        line.cursor_blink = False


@sizes
@pytest.mark.parametrize("name", FULL)
async def test_with_memories(told: Home, opened: Open, name: str, size: tuple[int, int]) -> None:
    async with opened(told, size, prefs=Prefs()) as pilot:
        await play(pilot, *FULL[name])
        check(pilot.app, f"{name}-{size[0]}x{size[1]}")


@sizes
@pytest.mark.parametrize("name", BARE)
async def test_without_memories(bare: Home, opened: Open, name: str, size: tuple[int, int]) -> None:
    async with opened(bare, size, prefs=Prefs()) as pilot:
        await play(pilot, *BARE[name])
        check(pilot.app, f"{name}-{size[0]}x{size[1]}")


@sizes
@pytest.mark.parametrize("tab", ["memories", "status"])
async def test_without_a_daemon(opened: Open, tab: str, size: tuple[int, int]) -> None:
    with temporary_home() as home:
        home.start()
        home.jmem("import", str(STORE), "--from", "jsonl")
        async with opened(home, size, prefs=Prefs()) as pilot:
            await pilot.press("enter", *(("5",) if tab == "status" else ()))
            if tab == "memories":
                await play(pilot, "live", ())  # a request that is under way would start another daemon
            home.kill()
            await play(pilot, "stopped", ())
            check(pilot.app, f"stopped-{tab}-{size[0]}x{size[1]}")


@pytest.mark.parametrize("theme", ["light", "contrast"])
async def test_in_other_colours(told: Home, opened: Open, theme: str) -> None:
    async with opened(told, (100, 30), prefs=Prefs(theme=theme)) as pilot:
        await play(pilot, "found", tuple("long flights"))
        check(pilot.app, f"search-{theme}")


async def test_in_a_very_small_window(told: Home, opened: Open) -> None:
    async with opened(told, (80, 24), prefs=Prefs()) as pilot:
        await pilot.resize_terminal(20, 5)
        await play(pilot, "Prefers", ())
        check(pilot.app, "memories-20x5")
        await pilot.resize_terminal(80, 24)
        await play(pilot, "newest first", ())
        check(pilot.app, "memories-80x24")
