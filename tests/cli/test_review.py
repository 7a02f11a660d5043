"""`jmem review`, and the rules of `jmem clients set`."""

from __future__ import annotations

import json

import pytest

from .conftest import Jmem


@pytest.fixture
def inbox(jmem: Jmem) -> tuple[Jmem, list[str]]:
    """A user with four memories that wait, of two programs."""
    jmem = jmem.apart()
    items = [{"content": f"waits {n}", "state": "review", "client": ("cursor", "zed")[n % 2]} for n in range(4)]
    jmem.ok("import", "-", "--from", "jsonl", stdin="".join(json.dumps(item) + "\n" for item in items))
    return jmem, [line.split("\t")[0] for line in jmem.ok("review").lines]


def test_the_list(inbox: tuple[Jmem, list[str]]) -> None:
    jmem, ids = inbox
    rows = [line.split("\t") for line in jmem.ok("review").lines]
    assert [(row[1], row[4]) for row in rows] == [(f"waits {n}", ("cursor", "zed")[n % 2]) for n in range(4)]
    assert [line.split("\t")[0] for line in jmem.ok("review", "--client", "zed").lines] == ids[1::2]
    document = json.loads(jmem.ok("review", "-n", "3", "--json").out)
    assert [m["id"] for m in document["memories"]] == ids[:3]
    rest = json.loads(jmem.ok("review", "--cursor", document["next_cursor"], "--json").out)
    assert [m["id"] for m in rest["memories"]] == ids[3:]
    assert [json.loads(line)["id"] for line in jmem.ok("review", "--all", "--jsonl").lines] == ids
    assert "there are more: --all" in jmem.ok("review", "-n", "1").err
    screen = jmem.tty("review", env={"NO_COLOR": "1"}).out
    assert screen.startswith(ids[0][-6:])
    assert "from cursor" in screen
    assert "jmem review approve" in screen
    assert jmem.ok("list").out == jmem.ok("list", "--state", "all").out == ""
    assert len(jmem.ok("list", "--state", "review").lines) == 4
    assert jmem.ok("search", "waits", "--mode", "text").out == ""
    assert len(jmem.ok("search", "waits", "--state", "review").lines) == 4
    assert json.loads(jmem.ok("status", "--json").out)["review"] == 4
    assert "review\t4 wait: jmem review" in jmem.ok("status").lines


def test_accept_reject_and_undo(inbox: tuple[Jmem, list[str]]) -> None:
    jmem, ids = inbox
    done = jmem.ok("review", "approve", ids[0], ids[1][-12:])
    assert done.lines == ids[:2]
    assert "accepted 2; `jmem undo` lets them wait again" in done.err
    assert sorted(line.split("\t")[0] for line in jmem.ok("list").lines) == ids[:2]
    assert jmem.ok("review", "reject", "--client", "zed").lines == ids[3:]
    assert json.loads(jmem.ok("review", "reject", "--all", "--json").out) == {
        "decision": "reject", "count": 1, "ids": [ids[2]], "skipped": [],
    }  # fmt: skip
    assert "nothing waits for you" in jmem.ok("review").err
    assert "nothing waits of zed" in jmem.ok("review", "approve", "--client", "zed").err
    jmem.ok("undo", "-n", "3")
    assert [line.split("\t")[0] for line in jmem.ok("review").lines] == ids


def test_what_does_not_wait(inbox: tuple[Jmem, list[str]]) -> None:
    jmem, ids = inbox
    jmem.ok("review", "approve", ids[0])
    again = jmem("review", "approve", ids[0])
    assert (again.code, again.out) == (5, "")
    assert "does not wait for review" in again.err
    some = jmem("review", "reject", ids[0], ids[1], "00000000")
    assert (some.code, some.lines) == (5, [ids[1]])
    assert "no memory has the id '00000000'" in some.err
    for wrong in ((), ("--all", ids[2]), ("--all", "--client", "zed")):
        assert jmem("review", "approve", *wrong).code == 2
    assert jmem("review", "--client", "Not A Name").code == 0
    assert jmem("review", "approve", "--client", "Not A Name").code == 2


def test_the_rules_of_a_program(jmem: Jmem) -> None:
    jmem.ok("connect", "cursor", "--print")
    changed = json.loads(jmem.ok("clients", "set", "cursor", "--review", "--writes-per-hour", "30", "--json").out)
    assert (changed["review"], changed["writes_per_hour"]) == (True, 30)
    (row,) = (line.split("\t") for line in jmem.ok("clients").lines if line.startswith("cursor"))
    assert (row[1], row[4], row[5]) == ("rwd", "review", "30")
    screen = jmem.tty("clients", env={"NO_COLOR": "1"}).out
    assert "waits for review  30 changes an hour" in screen
    changed = json.loads(jmem.ok("clients", "set", "cursor", "--no-review", "--writes-per-hour", "none", "--json").out)
    assert (changed["review"], changed["writes_per_hour"]) == (False, None)
    for wrong in ("0", "-1", "many", "1e3", "9999999", "٣"):
        result = jmem("clients", "set", "cursor", "--writes-per-hour", wrong)
        assert result.code == 2, result
    assert jmem("clients", "set", "cursor", "--review", "--no-review").code == 2
