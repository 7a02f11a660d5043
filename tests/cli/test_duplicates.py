"""`jmem duplicates`: the list, merging, and what is no duplicate."""

from __future__ import annotations

import json

import pytest

from bench.home import wait_for

from .conftest import Jmem

TEXTS = ("Anna prefers short answers without any preamble", "Anna prefers short answers, without preamble")


@pytest.fixture
def two(jmem: Jmem) -> tuple[Jmem, str, str]:
    """A user with two near memories and another one; their ids, the older one first."""
    jmem = jmem.apart()
    older = jmem.ok("add", TEXTS[0], "--tag", "style", "-m", "from=a").out.strip()
    jmem.ok("add", "The deploy runs on Tuesdays")
    newer = jmem.ok("add", TEXTS[1], "--tag", "anna").out.strip()
    wait_for(
        lambda: not json.loads(jmem.ok("index", "status", "--json").out)["pending"], what="the vectors of all three"
    )
    return jmem, older, newer


def test_the_list(two: tuple[Jmem, str, str]) -> None:
    jmem, older, newer = two
    (line,) = jmem.ok("duplicates").lines
    score, *cells = line.split("\t")
    assert cells == [newer, TEXTS[1], older, TEXTS[0]]
    assert float(score) >= 0.8
    (pair,) = json.loads(jmem.ok("duplicates", "--json").out)["pairs"]
    assert (pair["a"]["id"], pair["b"]["id"]) == (newer, older)
    assert [json.loads(row)["a"]["id"] for row in jmem.ok("duplicates", "--of", older, "--jsonl").lines] == [older]
    assert jmem.ok("duplicates", "--least", "1.0").lines == []
    screen = jmem.tty("duplicates", env={"NO_COLOR": "1"}).out
    assert newer[-6:] in screen
    assert "of the words are the same" in screen
    assert jmem("duplicates", "--least", "high").code == 2


def test_merge_is_one_undo(two: tuple[Jmem, str, str]) -> None:
    jmem, older, newer = two
    done = jmem.ok("duplicates", "merge", older, newer, "--keep", newer[-6:], "--text", "Anna prefers short answers")
    assert done.out.strip() == newer
    assert "jmem undo" in done.err
    kept = json.loads(jmem.ok("show", newer, "--json").out)
    assert (kept["content"], sorted(kept["tags"]), kept["supersedes"]) == (
        "Anna prefers short answers", ["anna", "style"], older
    )  # fmt: skip
    assert kept["metadata"] == {"from": "a"}
    assert jmem("show", older).code == 5
    jmem.ok("undo")
    assert json.loads(jmem.ok("show", older, "--json").out)["content"] == TEXTS[0]
    assert json.loads(jmem.ok("show", newer, "--json").out)["supersedes"] is None


def test_merge_in_the_editor(two: tuple[Jmem, str, str]) -> None:
    jmem, older, newer = two
    editor = {"EDITOR": "sed -i -e 1s/any/a/ -e 2,3d", "VISUAL": ""}
    jmem.ok("duplicates", "merge", older, newer, "--edit", env=editor)
    assert json.loads(jmem.ok("show", older, "--json").out)["content"] == TEXTS[0].replace("any", "a")
    assert jmem("duplicates", "merge", older, newer, "--edit", "--text", "x").code == 2
    assert jmem("duplicates", "merge", older, older).code == 2
    assert jmem("duplicates", "merge", older, newer).code == 5


def test_no_duplicates(two: tuple[Jmem, str, str]) -> None:
    jmem, older, newer = two
    jmem.ok("duplicates", "distinct", older, newer)
    assert jmem.ok("duplicates").lines == []
    jmem.ok("duplicates", "distinct", older, newer, "--again")
    assert len(jmem.ok("duplicates").lines) == 1
