"""The inbox: deciding on what programs wrote while they go on writing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from textual.pilot import Pilot

from bench.home import Api, Home, Mcp
from jmem.tui.screens.approving import Approving
from jmem.tui.screens.confirm import Choice
from jmem.tui.screens.reader import Reader
from jmem.tui.screens.review import ReviewPlace, Waiting
from jmem.tui.widgets.writing import WriteArea
from tests.tui.conftest import Open, texts, until

pytestmark = pytest.mark.timeout(180)
WIDE = (140, 40)


@pytest.fixture(scope="module")
def some(daemon: Home) -> Home:
    with contextlib.closing(daemon.api()) as api:
        api.add("The first of all")
        for name in ("cursor", "agent"):
            api.must("POST", "/clients", {"name": name})
            api.must("PATCH", f"/clients/{name}", {"review": True})
    return daemon


@pytest.fixture
def api(some: Home) -> Iterator[Api]:
    """With an empty inbox."""
    with contextlib.closing(some.api()) as made:
        made.must("POST", "/review", {"decision": "reject", "all": True})
        yield made


@pytest.fixture
def cursor(some: Home) -> Iterator[Mcp]:
    with contextlib.closing(some.mcp("cursor")) as made:
        yield made


@pytest.fixture
def agent(some: Home) -> Iterator[Mcp]:
    with contextlib.closing(some.mcp("agent")) as made:
        yield made


def write(program: Mcp, *texts: str) -> list[str]:
    """The ids of what a program wrote."""
    return [program.tool("add_memories", text=text)["structuredContent"]["memories"][0]["id"] for text in texts]


def waiting(pilot: Pilot[None]) -> Waiting:
    return pilot.app.screen_stack[0].query_one(Waiting)


async def there(pilot: Pilot[None], count: int) -> Waiting:
    await pilot.app.run_action("app.tab('review')")
    await until(pilot, lambda: isinstance(pilot.app.place, ReviewPlace) and waiting(pilot).total == count)
    return waiting(pilot)


def memory(api: Api, id: str) -> dict[str, Any]:
    answer = api.call("GET", f"/api/v1/memories/{id}")
    assert answer.ok or answer.body["deleted"]
    return dict(answer.body)


async def test_approve_reject_and_undo(some: Home, opened: Open, api: Api, cursor: Mcp):
    first, second = write(cursor, "It rains in Bergen", "It never rains in Bergen")
    async with opened(some, (80, 24)) as pilot:
        found = await there(pilot, 2)
        assert found.current is not None
        assert found.current["id"] == first
        assert "Review (2)" in texts(pilot)
        await pilot.press("y")
        await until(pilot, lambda: found.total == 1)
        assert memory(api, first)["state"] == "active"
        await pilot.press("n")
        await until(pilot, lambda: "Nothing waits for you" in texts(pilot))
        assert memory(api, second)["deleted"]
        await pilot.press("u")
        await until(pilot, lambda: found.total == 1)
        await pilot.press("u")
        await until(pilot, lambda: found.total == 2)
        assert [memory(api, id)["state"] for id in (first, second)] == ["review", "review"]
        assert not memory(api, second)["deleted"]


async def test_what_is_written_meanwhile_appears_and_the_cursor_stays(some: Home, opened: Open, api: Api, cursor: Mcp):
    write(cursor, "Number one", "Number two")
    async with opened(some, WIDE) as pilot:
        found = await there(pilot, 2)
        await pilot.press("down")
        held = found.current
        write(cursor, "Number three")
        await until(pilot, lambda: found.total == 3)
        assert found.current == held
        await until(pilot, lambda: "3 wait for you" in texts(pilot) and "Review (3)" in texts(pilot))


async def test_the_badge_counts_in_every_place(some: Home, opened: Open, api: Api, cursor: Mcp):
    async with opened(some, WIDE) as pilot:
        for mode in ("activity", "settings"):
            await pilot.app.run_action(f"app.tab('{mode}')")
            write(cursor, f"Written while one is in {mode}")
            await until(pilot, lambda m=mode: f"3 Review ({1 if m == 'activity' else 2})" in texts(pilot))


async def test_marked_ones_are_one_step(some: Home, opened: Open, api: Api, cursor: Mcp):
    ids = write(cursor, "Mark a", "Mark b", "Mark c")
    async with opened(some, WIDE) as pilot:
        found = await there(pilot, 3)
        await pilot.press("space", "space")
        await until(pilot, lambda: "2 marked" in texts(pilot))
        await pilot.press("y")
        await until(pilot, lambda: found.total == 1)
        assert [memory(api, id)["state"] for id in ids] == ["active", "active", "review"]
        await pilot.press("u")
        await until(pilot, lambda: found.total == 3)
        await pilot.press("asterisk", "n")
        await until(pilot, lambda: "Nothing waits" in texts(pilot))
        await pilot.press("u")
        await until(pilot, lambda: found.total == 3)


async def test_all_of_one_program(some: Home, opened: Open, api: Api, cursor: Mcp, agent: Mcp):
    mine = write(agent, "Of the agent, one", "Of the agent, two")
    theirs = write(cursor, "Of cursor")
    async with opened(some, WIDE) as pilot:
        found = await there(pilot, 3)
        await pilot.press("f")
        await until(pilot, lambda: found.total == 2 and "2 wait for you of agent" in texts(pilot))
        await pilot.press("Y")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        assert "Approve all that agent wrote?" in texts(pilot)
        await pilot.press("y")
        await until(pilot, lambda: found.total == 0)
        assert [memory(api, id)["state"] for id in (*mine, *theirs)] == ["active", "active", "review"]
        await pilot.press("escape")
        await until(pilot, lambda: found.total == 1)
        await pilot.press("N")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("escape")
        assert not memory(api, theirs[0])["deleted"]


async def test_edit_then_approve_is_one_step(some: Home, opened: Open, api: Api, cursor: Mcp):
    (id,) = write(cursor, "The train leaves at nine")
    async with opened(some, WIDE) as pilot:
        found = await there(pilot, 1)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Approving))
        pilot.app.screen.query_one(WriteArea).put("The train leaves at ten")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: found.total == 0)
        assert (memory(api, id)["state"], memory(api, id)["content"]) == ("active", "The train leaves at ten")
        await pilot.press("u")
        await until(pilot, lambda: found.total == 1)
        assert (memory(api, id)["state"], memory(api, id)["content"]) == ("review", "The train leaves at nine")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Approving))
        await pilot.press("ctrl+s")  # as it is
        await until(pilot, lambda: found.total == 0)
        assert memory(api, id)["state"] == "active"


async def test_enter_reads_it_and_decides_nothing(some: Home, opened: Open, api: Api, cursor: Mcp):
    (id,) = write(cursor, "To be read first")
    async with opened(some, (80, 24)) as pilot:
        found = await there(pilot, 1)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Approving))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReviewPlace))
        assert (found.total, memory(api, id)["state"]) == (1, "review")


async def test_what_it_resembles_and_whose_is_approved(some: Home, opened: Open, api: Api, cursor: Mcp):
    api.add("The night train to Vienna leaves at 22:10 from platform 4")
    write(cursor, "The night train to Vienna leaves at 22:40 from platform 4")
    async with opened(some, (160, 40)) as pilot:
        await there(pilot, 1)
        await until(pilot, lambda: "It resembles" in texts(pilot) and "22:10" in texts(pilot))
        assert "Approve all of cursor" in texts(pilot)


async def test_somebody_else_decided_first(some: Home, opened: Open, api: Api, cursor: Mcp):
    (id,) = write(cursor, "Decided elsewhere")
    async with opened(some, WIDE) as pilot:
        found = await there(pilot, 1)
        waiting(pilot).screen._settling = True  # as between an event and the next reading
        api.must("POST", "/review", {"decision": "approve", "ids": [id]})
        await pilot.press("n")
        await until(pilot, lambda: found.total == 0)
        assert not memory(api, id)["deleted"]


async def test_what_a_program_wrote_is_shown_not_executed(some: Home, opened: Open, api: Api, cursor: Mcp):
    write(cursor, "Red \x1b[31malert\x1b[0m [bold]not markup[/] \u202eright to left 日本 🙂 " + "long " * 4_000)
    async with opened(some, (80, 24)) as pilot:
        await there(pilot, 1)
        await until(pilot, lambda: "[bold]not markup[/]" in texts(pilot))
        assert "\x1b" not in texts(pilot)
        for size in ((20, 5), (40, 10), (140, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
