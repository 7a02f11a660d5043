"""kill -9 in a stream of acknowledged writes from four clients: socket, TCP, MCP, commands."""

from __future__ import annotations

import contextlib
import sqlite3

from bench.home import Home
from bench.writers import Killing


def test_nothing_acknowledged_is_lost_and_nothing_deleted_comes_back_in_ten_kills(home: Home) -> None:
    killing = Killing(home, seed=20)
    for number in range(10):
        after = killing.round(number)
        assert (after.lost, after.back, after.strange, killing.failures) == ([], [], [], [])
        assert after.next_command_ms < 15_000
    assert killing.acknowledged > 200
    assert min(ledger.acknowledged for ledger in killing.ledgers) > 5, "a client wrote next to nothing"

    home.indexed()
    with contextlib.closing(home.api()) as api:
        live = [m["id"] for m in api.every(state="all")]
        assert api.must("GET", "/index")["points"] == len(live)
    home.stop()
    with contextlib.closing(sqlite3.connect(home.user_folder / "memories.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        db.execute("INSERT INTO memory_fts(memory_fts, rank) VALUES ('integrity-check', 1)")
        assert db.execute("SELECT count(*) FROM memories WHERE NOT deleted").fetchone() == (len(live),)


def test_a_killed_import_is_whole_where_it_was_acknowledged_and_can_be_repeated(home: Home) -> None:
    lines = [f"Note {n}: the {n * 37 % 1000} bus leaves from stop {n % 17}." for n in range(400)]
    file = home.path.parent / "notes.txt"
    file.write_text("\n".join(lines) + "\n")
    home.start()
    from threading import Timer

    killer = Timer(0.25, home.kill)
    killer.start()
    first = home.jmem("add", "--lines", "-", input=file.read_text(), check=False)
    killer.join()
    acknowledged = first.stdout.split()

    again = home.jmem("add", "--lines", "-", input=file.read_text())
    assert len(again.stdout.split()) == len(lines)
    with contextlib.closing(home.api()) as api:
        there = {m["id"]: m["content"] for m in api.every()}
    assert sorted(there.values()) == sorted(lines)
    assert set(acknowledged) <= there.keys()
