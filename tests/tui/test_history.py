"""The versions of a memory: what changed, bringing one back, the chain, very long and hostile texts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from textual.widgets import Static

from bench.home import Api, Home
from jmem.tui import diff
from jmem.tui.screens.chain import ChainDialog
from jmem.tui.screens.history import HistoryPage, VersionList, versions_of
from jmem.tui.screens.memories import MemoriesPlace
from jmem.tui.screens.status import StatusPlace
from tests.tui.conftest import Open, emptied, texts, until

EVIL = "red \x1b[31mtext\x1b]52;c;aGk=\x07 \u202eevil\u202c"
COLOURS = {"error": "#ff0000", "success": "#00ff00", "warning": "#ffff00"}


@pytest.fixture(scope="module")
def home(daemon: Home) -> Home:
    return daemon


@pytest.fixture
def api(home: Home) -> Iterator[Api]:
    yield from emptied(home)


def edited(api: Api, first: str, *later: str) -> str:
    """The id of a memory with these texts, one after the other."""
    id = str(api.add(first)["id"])
    for text in later:
        api.must("PATCH", f"/memories/{id}", {"content": text})
    return id


def told(page: HistoryPage) -> str:
    return str(page.query_one("#told", Static).content)


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (20, 5)])
async def test_versions_and_bringing_one_back(api: Api, home: Home, opened: Open, size: tuple[int, int]) -> None:
    id = edited(api, "first red house", "first green house", "first green tree")
    api.must("PATCH", f"/memories/{id}", {"add_tags": ["wood"]})
    async with opened(home, size) as pilot:
        await pilot.press("enter", "h")
        await until(pilot, lambda: isinstance(pilot.app.screen, HistoryPage) and len(pilot.app.screen.query_one(VersionList).items) == 4)  # fmt: skip
        page = pilot.app.screen
        assert isinstance(page, HistoryPage)
        await until(pilot, lambda: "#wood" in told(page))
        assert "The text is the same" in told(page)
        await pilot.press("down")
        await until(pilot, lambda: "house tree" in told(page))
        await pilot.press("down", "c")
        await until(pilot, lambda: "house tree" in told(page) and "#wood" in told(page))
        await pilot.press("v")
        await until(pilot, lambda: told(page).startswith("first green house"))
        await pilot.press("enter")
        await until(pilot, lambda: api.must("GET", f"/memories/{id}")["content"] == "first green house")
        await until(pilot, lambda: len(page.query_one(VersionList).items) == 5)
        await until(pilot, lambda: page.query_one(VersionList).cursor == 0)
        await pilot.press("enter")
        await pilot.press("u")
        await until(pilot, lambda: api.must("GET", f"/memories/{id}")["content"] == "first green tree")
        assert api.must("GET", f"/memories/{id}")["tags"] == ["wood"]
        await until(pilot, lambda: len(page.query_one(VersionList).items) == 6)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, HistoryPage))


async def test_a_deleted_memory_comes_back(api: Api, home: Home, opened: Open) -> None:
    id = edited(api, "first and last")
    async with opened(home) as pilot:
        await pilot.press("enter", "h")
        await until(pilot, lambda: "1 version of" in texts(pilot))
        api.must("DELETE", f"/memories/{id}")
        await until(pilot, lambda: "deleted by" in texts(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: api.call("GET", f"/api/v1/memories/{id}").status == 200)
        await until(pilot, lambda: "brought back by" in texts(pilot))


async def test_the_chain(api: Api, home: Home, opened: Open) -> None:
    ids = [edited(api, "first home is Berlin")]
    for place in ("Munich", "Rome"):
        ids.append(api.add(f"first home is {place}", supersedes=ids[-1])["id"])
    async with opened(home, (100, 30)) as pilot:
        await pilot.press("enter", "h")
        await until(pilot, lambda: "one of 3 in a chain" in texts(pilot))
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChainDialog))
        await until(pilot, lambda: texts(pilot).count("superseded") == 2 and "▸ current" in texts(pilot))
        await pilot.press("up", "up", "enter")
        await until(pilot, lambda: f"1 version of {ids[0][-6:]}" in texts(pilot))


async def test_long_and_hostile_texts(api: Api, home: Home, opened: Open) -> None:
    words = [f"word{n % 7919}" for n in range(7_000)]
    edited(api, "first", "first " + " ".join(words), "first " + " ".join(word[::-1] for word in words), EVIL * 1_300)
    async with opened(home) as pilot:
        await pilot.press("enter", "h")
        await until(pilot, lambda: "4 versions" in texts(pilot))
        for key in ("down", "down", "c", "v", "v", "up", "c"):
            began = time.monotonic()
            await pilot.press(key)
            await pilot.pause()
            assert time.monotonic() - began < 2
        assert "\x1b" not in texts(pilot)
        assert "\\x1b[31m" in texts(pilot)


async def test_the_daemon_away_and_back(api: Api, home: Home, opened: Open) -> None:
    id = edited(api, "first", "first and second")
    async with opened(home) as pilot:
        await pilot.press("enter", "h")
        await until(pilot, lambda: "2 versions" in texts(pilot))
        home.stop()
        await until(pilot, lambda: pilot.app.facts["daemon"] == "stopped")  # type: ignore[attr-defined]
        await pilot.press("down", "v")
        assert "2 versions" in texts(pilot)
        home.start()
        with closing(home.api()) as again:
            again.must("PATCH", f"/memories/{id}", {"content": "third"})
        await until(pilot, lambda: "3 versions" in texts(pilot))


def test_a_conflict_is_marked() -> None:
    def revision(rev: int, content: str) -> dict[str, object]:
        return {"rev": rev, "stamp": f"s{rev}", "at": "2026-11-23T00:00:00.000Z", "client": "c", "kind": "edit", "set": {"content": content}, "content": content}  # fmt: skip

    history = {"id": "x", "heads": ["s2", "s3"], "revisions": [revision(n, str(n)) for n in (1, 2, 3)]}
    assert [version.head for version in versions_of(history)] == [True, True, False]
    assert [version.fields["content"] for version in versions_of(history)] == ["3", "2", "1"]
    assert [version.head for version in versions_of({**history, "heads": ["s3"]})] == [False] * 3
    assert versions_of({"heads": [], "revisions": []}) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [("", ""), ("a", ""), ("", "a"), ("one two", "one two"), ("one two three", "one 2 three"), ("ab", "abc"), ("x" * 70_000, "x" * 65_000 + "y"),
     ("a b " * 9_000, "b a " * 9_000), ("l\n" * 9_000, "m\n" * 9_000), (EVIL, EVIL + "!"), ("é\u0301", "e\u0301"), ("👩‍👩‍👧", "👩‍👧")],
)  # fmt: skip
def test_pieces_give_both_texts_back(before: str, after: str) -> None:
    began = time.monotonic()
    found = diff.pieces(before, after)
    assert time.monotonic() - began < 1
    assert "".join(old for _, old, _ in found) == before
    assert "".join(new for _, _, new in found) == after
    assert all((old == new) == (kind == "equal") for kind, old, new in found)


def test_whole_words_differ_and_far_equal_parts_are_left_out() -> None:
    assert [p for p in diff.pieces("the cart is red", "the carts are red") if p[0] != "equal"] == [
        ("replace", "cart", "carts"), ("replace", "is", "are"),
    ]  # fmt: skip
    same = "word " * 2_000
    text = diff.inline(f"{same}old {same}", f"{same}new {same}", COLOURS).plain
    assert "old new " in text
    assert text.count("characters as they were") == 2
    assert len(text) < 1_000
    left, right = diff.sides("a red house", "a blue house", COLOURS)
    assert [left.plain[span.start : span.end] for span in left.spans] == ["red"]
    assert [right.plain[span.start : span.end] for span in right.spans] == ["blue"]


async def test_a_long_history_says_that_older_versions_are_left_out(api: Api, home: Home, opened: Open) -> None:
    edited(api, "first", *(f"first {n} " + "x" * 60_000 for n in range(8)))
    async with opened(home) as pilot:
        await pilot.press("enter", "h")
        await until(pilot, lambda: "older ones are left out" in texts(pilot))
        await pilot.press("end")
        await until(pilot, lambda: "first" in texts(pilot))


async def test_a_tab_leads_away_from_a_page_too(api: Api, home: Home, opened: Open) -> None:
    edited(api, "first red house", "first green house")
    async with opened(home, (100, 30)) as pilot:
        await pilot.press("enter", "h")
        await until(pilot, lambda: isinstance(pilot.app.screen, HistoryPage))
        await pilot.press("5")
        await until(pilot, lambda: isinstance(pilot.app.screen, StatusPlace))
        await pilot.press("1")
        await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))
