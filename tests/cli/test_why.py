"""`jmem why`, and `jmem undo --client --since`."""

from __future__ import annotations

import json

import pytest

from bench.home import wait_for
from jmem.cli.commands.why import ordinal, why
from jmem.client import Client

from .conftest import Jmem

PLAIN = {"NO_COLOR": "1"}


def program(jmem: Jmem, name: str) -> Client:
    """A program other than the command line, on the same socket."""
    return Client(str(jmem.home), user=jmem.env["JMEM_USER"], client=name, autostart=False)


@pytest.fixture
def own(jmem: Jmem) -> Jmem:
    return jmem.apart()


def add(jmem: Jmem, *words: str) -> str:
    return jmem.ok("add", *words).out.strip()


def texts(jmem: Jmem) -> list[str]:
    return [line.split("\t")[1] for line in jmem.ok("list", "--sort", "created").lines]


# ---- why --------------------------------------------------------------------------------------


def test_why_shows_what_a_program_was_told(own: Jmem) -> None:
    id = add(own, "The harbour master is called Ines")
    other = add(own, "Cello lessons are on Thursdays")
    cursor = program(own, "cursor")
    wait_for(lambda: not cursor.status()["pending_index"], what="their vectors")
    cursor.search({"query": "who is the harbour master"})
    own.ok("search", "cello")
    document = json.loads(own.ok("why", "cursor", "--json").out)
    (access,) = document["accesses"]
    assert (access["client"], access["what"], access["query"]) == ("cursor", "search", "who is the harbour master")
    assert [a["id"] for a in access["answers"]] == [id, other]
    assert access["answers"][0]["content"] == "The harbour master is called Ines"
    row = own.ok("why", "cursor").lines[0].split("\t")
    assert row[1:6] == ["cursor", "search", "who is the harbour master", "1", id]
    assert row[7] == row[9] == "1"
    assert row[-1] == "The harbour master is called Ines"
    screen = own.tty("why", "cursor", env=PLAIN).out
    assert "cursor  search  now  who is the harbour master" in screen
    assert f"  1  {id[-6:]}  " in screen
    assert "words: 1st (" in screen
    assert "meaning: 1st (" in screen
    assert "words: no match · meaning: 2nd (" in screen
    assert [json.loads(line)["client"] for line in own.ok("why", "--jsonl").lines] == ["cli", "cursor"]
    assert len(own.ok("why", "-n", "1").lines) == 2  # the newest answer had both


def test_why_of_one_memory(own: Jmem) -> None:
    id = add(own, "The spare key is with Ana")
    add(own, "Bread is sold out by noon")
    cursor = program(own, "cursor")
    cursor.search({"query": "spare key"})
    cursor.page({"limit": 5})
    cursor.search({"query": "bread", "limit": 1})
    found = json.loads(own.ok("why", "cursor", "--memory", id[-6:], "--json").out)["accesses"]
    assert [(a["what"], [x["id"] for x in a["answers"]]) for a in found] == [("list", [id]), ("search", [id])]
    own.ok("edit", id, "The spare key is with Rui")
    screen = own.tty("why", "cursor", "-m", id, env=PLAIN).out
    assert "The spare key is with Ana" in screen
    assert "changed since" in screen
    own.ok("rm", id)
    assert "changed since · deleted since" in own.tty("why", "cursor", "-m", id, env=PLAIN).out
    own.ok("rm", id, "--purge", "--yes")
    assert own("why", "-m", id).code == 5
    assert "Ana" not in own.ok("why", "cursor").out


def test_why_where_nobody_asked(own: Jmem) -> None:
    add(own, "something nobody asks for")
    result = own.ok("why", "zed")
    assert (result.out, result.err) == ("", "jmem: zed was told nothing yet\n")
    assert json.loads(own.ok("why", "zed", "--json").out) == {"accesses": []}
    assert own.typer("why", "zed", "--jsonl").out == ""
    zed = program(own, "zed")
    zed.search({"query": "anything", "tags": ["no-such-tag"]})
    assert "no memory" in own.tty("why", "zed", env=PLAIN).out
    assert own.ok("why", "zed").lines[0].split("\t")[1:5] == ["zed", "search", "anything", ""]


def test_a_long_answer_is_cut_on_the_screen(own: Jmem) -> None:
    own.ok("add", "--lines", stdin="".join(f"a line about boat {n}\n" for n in range(14)))
    own.ok("list")
    screen = own.tty("why", env=PLAIN).out
    assert "and 4 more" in screen
    assert len(own.ok("why", "-n", "1").lines) == 14


def test_reasons_in_words() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th",
    ]  # fmt: skip
    legs = {"text": {"rank": None, "score": 1.5}, "speaker": 0.5, "superseded_by": "0199f3a1-xxxxxx"}
    assert why(legs) == [
        "words: further down (1.50)", "meaning: not compared", "its speaker was asked for", "superseded by xxxxxx",
    ]  # fmt: skip
    assert why({"text": {"rank": None, "score": None}}) == ["words: no match", "meaning: not compared"]
    assert why(None) == []


# ---- undo of what a program did ---------------------------------------------------------------


def prepared(own: Jmem) -> str:
    """The id of a memory of the user's, which a program has then rewritten, beside adding two of its own."""
    id = add(own, "I drink tea", "--tag", "drinks")
    cursor = program(own, "cursor")
    cursor.add({"content": "Cursor was here"})
    cursor.edit(id, {"content": "I drink coffee", "tags": ["drinks", "hot"]})
    cursor.add({"content": "Cursor was here twice"})
    add(own, "I eat bread")
    return id


def test_undo_of_a_program_shows_asks_and_is_one_step(own: Jmem) -> None:
    id = prepared(own)
    before = texts(own)
    ask = ("undo", "--client", "cursor", "--since", "2 hours ago")
    screen = own.tty(*ask, keys=b"n\n", wait_for="[y/N]", env=PLAIN).out
    assert f"{id[-6:]}  - I drink coffee" in screen
    assert "+ I drink tea" in screen
    assert "tags: drinks hot → drinks" in screen
    assert "- Cursor was here twice" in screen
    assert "is deleted" in screen
    assert "Take back 3 actions, changing 3 memories? [y/N]" in screen
    assert texts(own) == before
    screen = own.tty(*ask, keys=b"y\n", wait_for="[y/N]", env=PLAIN).out
    assert "undone  add" in screen
    assert "`jmem undo --redo` brings all of it back" in screen
    assert texts(own) == ["I drink tea", "I eat bread"]
    assert len(own.ok("undo", "--redo").lines) == 3
    assert texts(own) == before


def test_undo_of_a_program_without_a_terminal(own: Jmem) -> None:
    prepared(own)
    before = texts(own)
    refused = own("undo", "--client", "cursor")
    assert (refused.code, refused.out) == (6, "")
    assert "fix: add --yes" in refused.err
    dry = json.loads(own.ok("undo", "--client", "cursor", "--dry-run", "--json").out)
    assert (len(dry["undone"]), dry["changed"], len(dry["changes"])) == (3, 3, 3)
    assert texts(own) == before
    assert len(own.ok("undo", "--client", "cursor", "--dry-run").lines) == 3
    done = json.loads(own.ok("undo", "--client", "cursor", "--yes", "--json").out)
    assert done == dry
    assert texts(own) == ["I drink tea", "I eat bread"]
    assert own.ok("undo", "--client", "cursor").err == "jmem: there is nothing to undo\n"
    assert own.ok("undo", "--client", "cursor", "--since", "tomorrow", "--yes").out == ""


def test_undo_since_a_moment_takes_everyones(own: Jmem) -> None:
    prepared(own)
    own.ok("undo", "--since", "1 hour ago", "--yes")
    assert texts(own) == []
    own.ok("undo", "--redo")
    assert texts(own) == ["I drink coffee", "Cursor was here", "Cursor was here twice", "I eat bread"]


def test_undo_of_a_program_leaves_what_was_changed_since(own: Jmem) -> None:
    id = prepared(own)
    own.ok("edit", id, "I drink water")
    result = own.ok("undo", "--client", "cursor", "--yes")
    assert f"{id[-6:]} stays as it is: content changed since" in result.err
    assert texts(own) == ["I drink water", "I eat bread"]
    own.ok("add", "and more")
    zed = program(own, "zed")
    zed.edit(id, {"content": "I drink milk"})
    own.ok("edit", id, "I drink water after all")
    assert own("undo", "--client", "zed", "--yes").code == 6


@pytest.mark.parametrize("more", [("-n", "2"), ("--redo",)])
def test_what_does_not_go_together(own: Jmem, more: tuple[str, ...]) -> None:
    add(own, "anything")
    result = own("undo", "--client", "cursor", *more)
    assert (result.code, result.out) == (2, "")
    assert own("undo", "--since", "no such time").code == 2


def test_a_dry_run_shows_the_changes(own: Jmem) -> None:
    id = add(own, "version one")
    own.ok("edit", id, "version two")
    screen = own.tty("undo", "--dry-run", env=PLAIN).out
    assert "- version two" in screen
    assert "+ version one" in screen
