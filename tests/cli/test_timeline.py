from __future__ import annotations

import json
import time

import pytest

from .conftest import Jmem


def add(jmem: Jmem, *words: str) -> str:
    return jmem.ok("add", *words).out.strip()


def now(jmem: Jmem, id: str) -> str:
    """The moment of the newest change of a memory, as words on the command line."""
    time.sleep(0.005)
    return str(json.loads(jmem.ok("show", id, "--json").out)["updated_at"])


def test_search_list_and_show_as_of(jmem: Jmem) -> None:
    jmem = jmem.apart()
    id = add(jmem, "the allotment has three apple trees")
    then = now(jmem, id)
    jmem.ok("edit", id, "the allotment was given back")
    other = add(jmem, "apple trees are sold at the market")
    found = jmem.ok("search", "apple trees", "--as-of", then)
    assert [line.split("\t")[:2] for line in found.lines] == [[id, "the allotment has three apple trees"]]
    assert "as of " in found.err
    assert [line.split("\t")[0] for line in jmem.ok("list").lines] == [other, id]
    assert [line.split("\t")[1] for line in jmem.ok("list", "--as-of", then).lines] == [
        "the allotment has three apple trees"
    ]
    assert [line.split("\t")[0] for line in jmem.ok("list", "--all", "--as-of", then).lines] == [id]
    assert jmem.ok("show", id, "--as-of", then, "--text").out == "the allotment has three apple trees\n"
    assert json.loads(jmem.ok("show", id, "--as-of", then, "--json").out)["as_of"] == then
    assert jmem("show", other, "--as-of", then).code == 5
    assert jmem("list", "--as-of", "tomorrow").code == 2
    assert jmem("search", "apple", "--as-of", "in three days").code == 2


def test_diff_since(jmem: Jmem) -> None:
    jmem = jmem.apart()
    edited, gone = add(jmem, "bins go out on Monday"), add(jmem, "the ladder is at Jo's")
    since = now(jmem, gone)
    time.sleep(0.005)
    jmem.ok("edit", edited, "bins go out on Thursday")
    jmem.ok("rm", gone)
    new = add(jmem, "the attic is insulated", "-t", "house")
    lines = [line.split("\t") for line in jmem.ok("diff", "--since", "today").lines]
    assert [(id, kind, text) for id, kind, _, _, text in lines] == [
        (new, "added", "the attic is insulated"), (edited, "added", "bins go out on Thursday"),
    ]  # fmt: skip
    since = since[:-1].replace("T", " ") + "+00:00"
    after = json.loads(jmem.ok("diff", "--since", _next(since), "--json").out)["changes"]
    assert [(change["id"], change["kind"]) for change in after] == [
        (new, "added"),
        (gone, "deleted"),
        (edited, "edited"),
    ]
    screen = jmem.tty("diff", "--since", _next(since), env={"NO_COLOR": "1"}).out
    for part in ("added", "deleted", "edited", "- bins go out on Monday", "+ bins go out on Thursday", "+ tags: house"):
        assert part in screen
    assert [line.split("\t")[0] for line in jmem.ok("diff", edited, "--since", _next(since)).lines] == [edited]
    nothing = jmem.ok("diff", "--since", _next(since), "--client", "cursor")
    assert (nothing.out, "nothing changed by cursor" in nothing.err) == ("", True)
    first = jmem.ok("diff", "--since", _next(since), "-n", "1")
    assert "--cursor" in first.err
    brief = jmem.tty("diff", "--since", _next(since), "-n", "1").out
    assert ("there are more: -n 1000" in brief, "--cursor" in brief) == (True, False)


def _next(moment: str) -> str:
    """One millisecond later."""
    head, _, rest = moment.rpartition(".")
    return f"{head}.{int(rest[:3]) + 1:03d}{rest[3:]}" if int(rest[:3]) < 999 else moment


@pytest.mark.parametrize(
    "words",
    [("diff",), ("diff", "--client", "cursor"), ("diff", "abcdef", "1", "--since", "today"),
     ("show", "abcdef", "--chain", "--text"), ("show", "abcdef", "--chain", "--as-of", "today")],
)  # fmt: skip
def test_what_does_not_go_together(jmem: Jmem, words: tuple[str, ...]) -> None:
    result = jmem(*words)
    assert (result.code, result.out) == (2, "")
    assert "fix: " in result.err


def test_chain(jmem: Jmem) -> None:
    jmem = jmem.apart()
    old = add(jmem, "the dentist is Dr Park")
    new = add(jmem, "the dentist is Dr Ruiz", "--supersedes", old)
    rows = [line.split("\t") for line in jmem.ok("show", old, "--chain").lines]
    assert [(row[0], row[-1]) for row in rows] == [(old, "superseded"), (new, "current")]
    assert json.loads(jmem.ok("show", new, "--chain", "--json").out)["current"] == new
    members = [json.loads(line) for line in jmem.ok("show", new, "--chain", "--jsonl").lines]
    assert [member["current"] for member in members] == [False, True]
    screen = jmem.tty("show", old, "--chain", env={"NO_COLOR": "1"}).out
    assert f"○ {old[-6:]}" in screen
    assert f"● {new[-6:]}" in screen
    assert f"by {new}" in jmem.tty("show", old, env={"NO_COLOR": "1"}).out
    assert f"superseded by {new[-6:]}" in jmem.tty("search", "dentist", env={"NO_COLOR": "1"}).out


def test_expired_ones(jmem: Jmem) -> None:
    jmem = jmem.apart()
    add(jmem, "the pool is closed", "--expires", "in 2 weeks")
    assert "nothing has expired" in jmem.ok("list", "--expired").err
    gone = add(jmem, "the museum is free of charge", "--expires", "yesterday")
    assert [line.split("\t")[0] for line in jmem.ok("list", "--expired").lines] == [gone]
    assert "expires in " in jmem.tty("search", "pool", env={"NO_COLOR": "1"}).out
