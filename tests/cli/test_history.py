from __future__ import annotations

import json

from .conftest import Jmem


def add(jmem: Jmem, *words: str) -> str:
    return jmem.ok("add", *words).out.strip()


def content(jmem: Jmem, id: str) -> str:
    return jmem.ok("show", id, "--text").out.removesuffix("\n")


def test_undo_and_redo(jmem: Jmem) -> None:
    jmem = jmem.apart()
    id = add(jmem, "version one")
    jmem.ok("edit", id, "version two")
    jmem.ok("tag", id, "+x")
    dry = json.loads(jmem.ok("undo", "-n", "2", "--dry-run", "--json").out)
    assert [action["kind"] for action in dry["undone"]] == ["tag", "edit"]
    assert content(jmem, id) == "version two"
    rows = [line.split("\t") for line in jmem.ok("undo", "-n", "2").lines]
    assert [(kind, ids) for _, _, kind, _, ids in rows] == [("tag", id), ("edit", id)]
    assert content(jmem, id) == "version one"
    jmem.ok("undo", "--redo")
    assert content(jmem, id) == "version two"
    screen = jmem.tty("undo", "--dry-run", env={"NO_COLOR": "1"}).out
    assert screen.startswith("would undo  ")
    assert id[-6:] in screen


def test_undo_names_what_it_leaves(jmem: Jmem) -> None:
    jmem = jmem.apart()
    id = add(jmem, "soon gone for ever")
    jmem.ok("rm", id, "--purge", "--yes")
    result = jmem("undo")
    assert (result.code, result.out) == (6, "")
    assert f"nothing could be undone: {id[-6:]} stays as it is: " in result.err
    problem = json.loads(jmem("undo", "--json").err)
    assert problem["skipped"][0]["id"] == id


def test_many_ids_are_counted(jmem: Jmem) -> None:
    jmem = jmem.apart()
    jmem.ok("add", "--lines", stdin="".join(f"one of many {n}\n" for n in range(9)))
    assert jmem.ok("log").lines[0].split("\t")[4] == "9 memories"
    assert jmem.ok("undo").lines[0].split("\t")[4] == "9 memories"


def test_log_of_a_memory_and_restore_of_a_revision(jmem: Jmem) -> None:
    id = add(jmem, "revision one")
    jmem.ok("edit", id, "revision two")
    jmem.ok("tag", id, "+kept")
    rows = [line.split("\t") for line in jmem.ok("log", id).lines]
    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("1", "add", "cli"),
        ("2", "edit", "cli"),
        ("3", "tag", "cli"),
    ]
    assert rows[2][4] == "tags"
    history = json.loads(jmem.ok("log", id, "--json").out)
    assert (history["id"], len(history["revisions"])) == (id, 3)
    assert len(jmem.ok("log", id, "--jsonl").lines) == 3
    assert "there are 1 older ones: -n 3" in jmem.ok("log", id, "-n", "2").err
    jmem.ok("restore", id, "--rev", "1")
    assert content(jmem, id) == "revision one"
    assert jmem("restore", id, "--rev", "99").code in (2, 5)
    assert jmem("restore", id, id, "--rev", "1").code == 2


def test_diff(jmem: Jmem) -> None:
    id = add(jmem, "the red house\nstays\nand the old garden")
    jmem.ok("edit", id, "the blue house\nstays\nand the old garden\nwith a pond")
    jmem.ok("tag", id, "+home")
    expected = [
        "--- 1",
        "+++ 2",
        "- the red house",
        "+ the blue house",
        "  stays",
        "  and the old garden",
        "+ with a pond",
    ]
    assert jmem.ok("diff", id).lines == expected
    assert jmem.ok("diff", id, "1").lines == ["--- 1", "+++ 3", *expected[2:], "+ tags: home"]
    assert jmem.ok("diff", id, "1", "2").lines == expected
    assert jmem.ok("diff", id, "2", "1").lines[2:4] == ["- the blue house", "+ the red house"]
    changes = json.loads(jmem.ok("diff", id, "1", "--json").out)["changes"]
    assert changes["tags"] == {"old": None, "new": ["home"]}
    colored = jmem.ok("diff", id, env={"FORCE_COLOR": "1"}).out
    assert "\x1b[1;31mred\x1b[0m" in colored
    assert "\x1b[1;32mblue\x1b[0m" in colored
    missing = jmem("diff", id, "7")
    assert (missing.code, f"fix: jmem log {id}" in missing.err) == (5, True)


def test_diff_of_a_memory_that_never_changed(jmem: Jmem) -> None:
    id = add(jmem, "as it was")
    assert jmem.ok("diff", id).lines[:3] == ["--- 0", "+++ 1", "+ as it was"]


def test_access_log(jmem: Jmem) -> None:
    jmem = jmem.apart()
    id = add(jmem, "who looked at me")
    jmem.ok("search", "looked")
    jmem.ok("show", id)
    accesses = json.loads(jmem.ok("log", "--access", "--json").out)["accesses"]
    assert {access["what"] for access in accesses} >= {"search", "get", "add"}
    rows = [line.split("\t") for line in jmem.ok("log", "--access").lines]
    search = next(row for row in rows if row[2] == "search")
    assert search[1:] == ["cli", "search", "looked", id, ""]
    assert jmem.ok("log", id, "--access").lines
    assert "looked" in jmem.tty("log", "--access").out


def test_log_pages(jmem: Jmem) -> None:
    jmem = jmem.apart()
    jmem.ok("add", "--lines", stdin="a b c\n")
    for number in range(4):
        add(jmem, f"entry {number}")
    first = json.loads(jmem.ok("log", "-n", "3", "--json").out)
    second = json.loads(jmem.ok("log", "-n", "3", "--cursor", first["next_cursor"], "--json").out)
    assert len(first["actions"]) == 3
    assert len(second["actions"]) == 2
    assert second["next_cursor"] is None
    assert jmem.ok("log", "--client", "nobody").out == ""
