"""What was purged leaves no byte in any file of the home."""

from __future__ import annotations

import contextlib
import http.client
import sqlite3
import threading
from pathlib import Path

import pytest

from bench.home import Home, wait_for

MARK = "zyxomma"
TEXT = f"The alarm code of the {MARK} warehouse is seventeen hundred"
EDITED = f"The alarm code of the {MARK} warehouse is eighteen hundred"
THREAD = "keys"


def files_with(home: Home, needle: bytes) -> list[str]:
    return [
        str(path.relative_to(home.path))
        for path in sorted(home.path.rglob("*"))
        if path.is_file() and needle.lower() in path.read_bytes().lower()
    ]


def vectors_of(home: Home) -> list[bytes]:
    """Every stored vector's first bytes: 32 are enough to know it again."""
    found = []
    with contextlib.closing(sqlite3.connect(f"file:{home.user_folder}/vectors.db?mode=ro", uri=True)) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in db.execute(f'SELECT * FROM "{table}"'):
                found += [bytes(cell[:32]) for cell in row if isinstance(cell, bytes) and len(cell) >= 384]
    return found


@pytest.fixture
def told(home: Home) -> tuple[Home, str]:
    """The memory amid neighbours in its thread, edited, asked for, listed in an export, archived, tagged, logged."""
    home.start()
    with contextlib.closing(home.api()) as api:
        api.add("The warehouse has a green door", thread=THREAD)
        id = api.add(TEXT, thread=THREAD, metadata={"place": MARK}, tags=[f"{MARK}-tag"], source=f"{MARK}.txt")["id"]
        api.add("Ask Omar for the gate key", thread=THREAD)
        api.must("PATCH", f"/memories/{id}", {"content": EDITED})
        assert api.search(f"what is the alarm code of the {MARK} warehouse")["results"][0]["id"] == id
        assert api.search(EDITED, mode="text")["results"][0]["id"] == id
        api.must("GET", f"/memories/{id}")
        api.must("GET", f"/memories/{id}/history")
        api.call("POST", "/api/v1/memories", {"content": EDITED, "colour": MARK})
    with contextlib.closing(home.mcp("claude")) as mcp:
        mcp.tool("search_memory", query=f"{MARK} warehouse")
    home.indexed()
    return home, id


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_a_purge_leaves_no_byte_of_the_text(told: tuple[Home, str], restarted: bool) -> None:
    home, id = told
    before = set(vectors_of(home))
    assert files_with(home, MARK.encode()), "nothing was written at all"
    if restarted:
        home.stop()
    answer = home.json("rm", id, "--purge", "--yes")
    home.indexed()
    gone = before - set(vectors_of(home))
    assert files_with(home, MARK.encode()) == []
    assert gone
    assert [name for vector in gone for name in files_with(home, vector)] == []
    receipt = answer["purged"][0]
    assert receipt["id"] == id
    assert len(receipt["receipt"]) >= 4
    home.stop()
    assert files_with(home, MARK.encode()) == []
    home.start()
    with contextlib.closing(home.api()) as api:
        assert api.call("GET", f"/api/v1/memories/{id}").status == 404
        assert api.call("POST", f"/api/v1/memories/{id}/restore", {}).status in (404, 409)
        assert len(list(api.every(state="all"))) == 2
        assert all(id not in str(action.get("preview")) for action in api.must("GET", "/log")["actions"])


def test_a_backup_made_before_is_named_and_its_restore_does_not_bring_it_back(told: tuple[Home, str]) -> None:
    home, id = told
    backup = home.json("backup")
    answer = home.json("rm", id, "--purge", "--yes")
    places = {line["place"]: line["result"] for line in answer["purged"][0]["receipt"]}
    left = [name for name in files_with(home, MARK.encode()) if "backups/" not in name]
    assert left == []
    assert any("backup" in place for place in places), places
    home.jmem("backup", "restore", str(Path(backup["path"])), "--yes")
    with contextlib.closing(home.api()) as api:
        assert api.call("GET", f"/api/v1/memories/{id}").status == 404
        assert not any(MARK in m["content"] for m in api.every(state="all"))
    home.indexed()
    assert [name for name in files_with(home, MARK.encode()) if "backups/" not in name] == []


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.06])
def test_a_purge_cut_short_is_finished_at_the_next_start(told: tuple[Home, str], delay: float) -> None:
    home, id = told
    killer = threading.Timer(delay, home.kill)
    killer.start()
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(home.api()) as api:
        api.call("DELETE", f"/api/v1/memories/{id}?purge=true")
    killer.join()
    home.start()
    with contextlib.closing(home.api()) as api:
        if api.call("GET", f"/api/v1/memories/{id}").status == 200:
            return  # it was killed before it had begun
    wait_for(lambda: not files_with(home, MARK.encode()), 20, "a clean home")
