"""Near duplicates: the list that grows, two side by side, keeping one, writing one of both, and what is no duplicate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Static

from bench.home import Api, Home
from jmem.tui.screens import duplicates, pairs
from jmem.tui.screens.confirm import Choice
from jmem.tui.screens.duplicates import DuplicatesPlace
from jmem.tui.screens.merging import Merging
from jmem.tui.screens.pairs import Judging
from jmem.tui.screens.similar import SimilarPage
from jmem.tui.widgets.writing import WriteArea
from tests.tui.conftest import Open, emptied, texts, until

NEAR = (
    ("first: Anna is allergic to peanuts", "first: Anna has a peanut allergy"),
    ("first: the user lives in Berlin, Germany", "first: the user lives in Berlin"),
)


@pytest.fixture(scope="module")
def home(daemon: Home) -> Home:
    return daemon


@pytest.fixture
def api(home: Home) -> Iterator[Api]:
    yield from emptied(home)


@pytest.fixture
def ids(home: Home, api: Api) -> dict[str, str]:
    """text -> id of two near pairs and something else."""
    made = {text: str(api.add(text)["id"]) for pair in NEAR for text in (pair[0],)}
    made["else"] = str(api.add("first of all, the moon is made of stone")["id"])
    made |= {text: str(api.add(text)["id"]) for pair in NEAR for text in (pair[1],)}
    home.indexed()
    return made


def judging(pilot: Pilot[None]) -> Judging:
    assert isinstance(pilot.app.screen, Judging)
    return pilot.app.screen


def count(pilot: Pilot[None]) -> int:
    screen = pilot.app.screen
    return len(screen.pairs.items) if isinstance(screen, Judging) else -1


async def at_duplicates(pilot: Pilot[None], pairs: int) -> None:
    await pilot.press("enter", "4")
    await until(pilot, lambda: isinstance(pilot.app.screen, DuplicatesPlace) and pilot.app.screen._finished)
    await until(pilot, lambda: count(pilot) == pairs)


def side(pilot: Pilot[None], name: str) -> str:
    return str(pilot.app.screen.query_one(f"#{name}", VerticalScroll).query_one(Static).content)


def contents(api: Api) -> set[str]:
    return {memory["content"] for memory in api.every()}


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (20, 5)])
async def test_side_by_side(api: Api, home: Home, ids: dict[str, str], opened: Open, size: tuple[int, int]) -> None:
    async with opened(home, size) as pilot:
        await at_duplicates(pilot, 2)
        await until(pilot, lambda: "first: the user lives in Berlin" in side(pilot, "left"))
        assert "Berlin, Germany" in side(pilot, "right")
        await pilot.press("down")
        await until(pilot, lambda: "peanut allergy" in side(pilot, "left"))
        if size != (20, 5):
            assert "2 pairs that say nearly the same" in texts(pilot)
            assert "all 5 looked at" in texts(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Judging))


async def test_keep_one_and_undo(api: Api, home: Home, ids: dict[str, str], opened: Open) -> None:
    async with opened(home) as pilot:
        await at_duplicates(pilot, 2)
        await pilot.press("r")
        await until(pilot, lambda: count(pilot) == 1)
        assert NEAR[1][0] in contents(api)
        assert NEAR[1][1] not in contents(api)
        await pilot.press("l")
        await until(pilot, lambda: count(pilot) == 0)
        assert contents(api) == {NEAR[1][0], NEAR[0][1], "first of all, the moon is made of stone"}
        assert "No two memories say nearly the same" in texts(pilot)
        await pilot.press("u")
        await until(pilot, lambda: NEAR[0][0] in contents(api))
        await until(pilot, lambda: count(pilot) == 1)
        await pilot.press("u")
        await until(pilot, lambda: len(contents(api)) == 5)
        await until(pilot, lambda: count(pilot) == 2)


async def test_not_the_same_and_undo(api: Api, home: Home, ids: dict[str, str], opened: Open) -> None:
    async with opened(home) as pilot:
        await at_duplicates(pilot, 2)
        await pilot.press("n")
        await until(pilot, lambda: count(pilot) == 1)
        await pilot.press("f5")
        await until(pilot, lambda: judging(pilot)._finished and count(pilot) == 1)  # type: ignore[attr-defined]
        await pilot.press("u")
        await until(pilot, lambda: count(pilot) == 2)
        assert len(api.must("GET", "/duplicates")["pairs"]) == 2
        assert len(contents(api)) == 5


async def test_one_of_both(api: Api, home: Home, ids: dict[str, str], opened: Open) -> None:
    async with opened(home) as pilot:
        await at_duplicates(pilot, 2)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Merging))
        area = pilot.app.screen.query_one(WriteArea)
        assert area.content == f"{NEAR[1][0]}\n\n{NEAR[1][1]}"
        area.put("first: lives in Berlin \x1b[31m")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Merging))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: count(pilot) == 1)
        kept = api.must("GET", f"/memories/{ids[NEAR[1][0]]}")
        assert (kept["content"], kept["supersedes"]) == ("first: lives in Berlin \x1b[31m", ids[NEAR[1][1]])
        await pilot.press("u")
        await until(pilot, lambda: len(contents(api)) == 5)


async def test_somebody_else_was_faster(api: Api, home: Home, ids: dict[str, str], opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(pairs, "SETTLE_S", 60.0)
    async with opened(home) as pilot:
        await at_duplicates(pilot, 2)
        api.must("PATCH", f"/memories/{ids[NEAR[1][0]]}", {"content": "first: the user lives in Rome"})
        await pilot.press("l")
        await until(pilot, lambda: any("was changed" in note.message for note in pilot.app._notifications))
        assert "first: the user lives in Rome" in contents(api)
        assert len(contents(api)) == 5
        await until(pilot, lambda: "Germany" not in side(pilot, "right"))


async def test_what_others_write_appears(api: Api, home: Home, ids: dict[str, str], opened: Open) -> None:
    async with opened(home) as pilot:
        await at_duplicates(pilot, 2)
        api.must("DELETE", f"/memories/{ids[NEAR[0][1]]}")
        await until(pilot, lambda: count(pilot) == 1)
        api.add("first of all the moon is made of stone")
        await until(pilot, lambda: any("moon" in pair["a"]["content"] for pair in judging(pilot).pairs.items))


async def test_what_was_done_elsewhere_is_seen_on_return(
    api: Api, home: Home, ids: dict[str, str], opened: Open
) -> None:
    async with opened(home) as pilot:
        await at_duplicates(pilot, 2)
        await until(pilot, lambda: pilot.app.screen._seen)  # type: ignore[attr-defined]
        await pilot.press("1")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Judging))
        api.must("DELETE", f"/memories/{ids[NEAR[0][1]]}")
        await pilot.pause(0.2)
        await pilot.press("4")
        await until(pilot, lambda: count(pilot) == 1)


async def test_of_one_memory(api: Api, home: Home, ids: dict[str, str], opened: Open) -> None:
    async with opened(home, (100, 30)) as pilot:
        await pilot.press("enter", "m")
        await until(pilot, lambda: isinstance(pilot.app.screen, SimilarPage) and count(pilot) == 1)
        assert "1 near to" in texts(pilot)
        assert "Germany" in side(pilot, "right")
        await pilot.press("l")
        await until(pilot, lambda: "Nothing says nearly the same" in texts(pilot))
        await pilot.press("u")
        await until(pilot, lambda: count(pilot) == 1)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Judging))


async def test_long_and_hostile_texts(api: Api, home: Home, opened: Open) -> None:
    evil = "first \x1b[31mred \u202egnp.exe " + "word " * 12_000
    for thread in ("a", "b"):
        api.add(evil + thread, thread=thread)
    home.indexed()
    async with opened(home) as pilot:
        await at_duplicates(pilot, 1)
        assert "\x1b" not in texts(pilot)
        assert "\\x1b[31m" in texts(pilot)


async def test_nothing(api: Api, home: Home, opened: Open) -> None:
    async with opened(home) as pilot:
        await until(pilot, lambda: "Welcome" in texts(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        pilot.app.action_tab("duplicates")  # type: ignore[attr-defined]
        await until(pilot, lambda: "No two memories say nearly the same" in texts(pilot))
        await pilot.press("l", "r", "n", "enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, DuplicatesPlace)


async def test_the_most_alike_come_first(
    home: Home, ids: dict[str, str], opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the search comes to them: a memory a step, so that each pair is found in a step of its own."""
    monkeypatch.setattr(duplicates, "STEP_PAIRS", 1)
    async with opened(home) as pilot:
        await at_duplicates(pilot, 2)
        scores = [pair["score"] for pair in judging(pilot).pairs.items]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > scores[1]
        judging(pilot).put(list(reversed(judging(pilot).pairs.items)))
        assert [pair["score"] for pair in judging(pilot).pairs.items] == scores


async def test_the_search_goes_on_behind_a_question(home: Home, ids: dict[str, str], opened: Open) -> None:
    """One that came up before the first step was answered."""
    async with opened(home) as pilot:
        await at_duplicates(pilot, 2)
        await pilot.app.push_screen(Choice("Well?", "", ()))
        pilot.app.screen_stack[0].reload()  # type: ignore[attr-defined]
        pilot.app.screen_stack[0].workers.cancel_all()
        await pilot.press("escape")
        await until(pilot, lambda: judging(pilot)._finished and count(pilot) == 2)  # type: ignore[attr-defined]
