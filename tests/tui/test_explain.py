"""Why a memory was found, and who got it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.home import Api, Home, temporary_home
from jmem.client import Client
from jmem.tui.screens import explain
from jmem.tui.screens.explain import Asked, ExplainPage, bar, who, why
from tests.tui.conftest import Open, texts, until

COLOURS = dict.fromkeys(("primary", "secondary", "accent", "success", "warning", "error", "panel"), "#ffffff")


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with temporary_home() as made:
        made.start()
        api = made.api()
        for text in ("first tea in the morning", "first coffee at noon \x1b[31mred", "the house is green"):
            api.add(text)
        api.close()
        made.indexed()
        yield made


@pytest.fixture
def api(home: Home) -> Iterator[Api]:
    made = home.api()
    yield made
    made.close()


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (20, 5)])
async def test_each_leg_and_who_got_it(home: Home, opened: Open, size: tuple[int, int]) -> None:
    Client(str(home.path), client="claude").search({"query": "what is drunk at noon"})
    async with opened(home, size) as pilot:
        await pilot.press(*"coffee")
        await until(pilot, lambda: pilot.app.screen.query_one("#results").words == ("coffee",))  # type: ignore[attr-defined]
        await pilot.press("enter", "w")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExplainPage))
        if size == (20, 5):
            return
        await until(pilot, lambda: "what is drunk at noon" in texts(pilot))
        shown = texts(pilot)
        for words in ("No. 1 of", "no. 1 by words", "alike", "What each weighs", "together", "Who got it", "claude"):
            assert words in shown, words
        assert "tui " not in shown
        assert "\x1b" not in shown
        await pilot.press("o")
        await until(pilot, lambda: "tui " in texts(pilot))
        Client(str(home.path), client="cursor").search({"query": "coffee at noon"})
        await until(pilot, lambda: "cursor" in texts(pilot) or size[1] == 24)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, ExplainPage))


async def test_of_a_list_it_says_so(home: Home, opened: Open) -> None:
    async with opened(home) as pilot:
        await pilot.press("enter", "w")
        await until(pilot, lambda: "It was listed, not searched for" in texts(pilot))


def hit(**explained: Any) -> dict[str, Any]:
    found = {
        "text": {"rank": None, "score": 0.0, "z": -0.5}, "vector": {"rank": None, "score": None, "z": 0.0}, "speaker": 0.0,
        "recency": 0.05, "superseded_by": None, "total": -0.4, "terms": [], "terms_dropped": [],
    }  # fmt: skip
    return {"score": 0.4, "explain": {**found, **explained}}


def test_legs_that_said_nothing() -> None:
    text = why(hit(), Asked("x\x1b[31m", 3, 9), COLOURS, 110).plain
    assert "none of the words of the question stands in it" in text
    assert "not compared by meaning" in text
    assert "\x1b" not in text
    assert "-0.45" in text


def test_what_was_superseded_and_common_words() -> None:
    memory = hit(
        superseded_by="0" * 30 + "abcdef",
        speaker=0.5,
        terms_dropped=["the"],
        vector={"rank": 2, "score": 0.5, "z": 1.0},
    )
    text = why(memory, Asked("x", 1, 2, 3.0), COLOURS, 78).plain
    assert "abcdef took its place" in text
    assert "the question names who said it" in text
    assert "too common to tell: the" in text
    assert "50% alike" in text
    assert max(map(len, text.split("\n"))) <= 80


def test_bars() -> None:
    assert [bar(share, 4) for share in (0, 0.001, 0.5, 1, 7, -1)] == ["    ", "━   ", "━━  ", "━━━━", "━━━━", "    "]


def test_accesses_are_grouped_and_bounded() -> None:
    def access(client: str, what: str = "search", query: str | None = "a question") -> dict[str, Any]:
        answer = {"id": "x", "rank": 2, "score": 0.5, "legs": {"text": {"rank": 1}}}
        return {"id": 1, "at": "2026-11-23T00:00:00.000Z", "client": client, "what": what, "query": query, "answers": [answer]}  # fmt: skip

    many = (
        [access("tui")] * 3
        + [access("claude")] * (explain.SHOWN + 5)
        + [access("zed", "list", None), access("zed", query=None)]
    )
    text = who(many, COLOURS, 78).plain
    assert f"claude {explain.SHOWN + 5}×" in text
    assert "zed 2×" in text
    assert "and 7 more times" in text
    assert "tui" not in text
    assert "no. 2 · words" in text
    assert "tui" in who(many, COLOURS, 78, everyone=True).plain
    assert "forgotten" in who([access("zed", query=None)], COLOURS, 40).plain
    assert "No program has got it yet" in who([access("tui")], COLOURS, 40).plain
