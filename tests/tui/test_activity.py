"""What programs ask, seen while they ask it, and what they may do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from bench.home import Api, Home, Mcp
from jmem.tui.screens.activity import ActivityPlace
from jmem.tui.screens.answers import Answers
from jmem.tui.screens.ask import Line
from jmem.tui.screens.confirm import Choice
from jmem.tui.screens.connect import OTHER, Connect
from jmem.tui.screens.takeback import TakeBack
from jmem.tui.widgets.fitted import Fitted
from jmem.tui.widgets.keybar import KeyBar
from jmem.tui.widgets.programs import Programs
from jmem.tui.widgets.rows import Rows
from jmem.tui.widgets.stream import Stream
from tests.tui.conftest import Open, texts, until

pytestmark = pytest.mark.timeout(180)
WIDE = (140, 40)


@pytest.fixture(scope="module")
def some(daemon: Home) -> Home:
    with contextlib.closing(daemon.api()) as api:
        api.add("The first seat on a flight is by the aisle", tags=["travel"])
        api.add("Oat milk in the coffee", tags=["food"])
        for name in ("claude", "cursor"):
            api.must("POST", "/clients", {"name": name})
    return daemon


@pytest.fixture
def api(some: Home) -> Iterator[Api]:
    with contextlib.closing(some.api()) as made:
        yield made


@pytest.fixture
def claude(some: Home) -> Iterator[Mcp]:
    with contextlib.closing(some.mcp("claude")) as made:
        yield made


@pytest.fixture
def cursor(some: Home) -> Iterator[Mcp]:
    with contextlib.closing(some.mcp("cursor")) as made:
        yield made


async def there(pilot: Pilot[None]) -> Stream:
    """In Activity, with the programs read."""
    await pilot.app.run_action("app.tab('activity')")
    await until(pilot, lambda: isinstance(pilot.app.place, ActivityPlace) and len(programs(pilot).items) >= 2)
    return stream(pilot)


def stream(pilot: Pilot[None]) -> Stream:
    return pilot.app.screen_stack[0].query_one(Stream)


def programs(pilot: Pilot[None]) -> Programs:
    return pilot.app.screen_stack[0].query_one(Programs)


def top(pilot: Pilot[None]) -> dict[str, Any]:
    return dict(stream(pilot).items[0]) if stream(pilot).items else {}


def allowed(api: Api, name: str) -> dict[str, Any]:
    return next(dict(one) for one in api.must("GET", "/clients")["clients"] if one["name"] == name)


async def on_program(pilot: Pilot[None], name: str) -> Programs:
    found = programs(pilot)
    found.focus()
    found.cursor = next(at for at, one in enumerate(found.items) if one["name"] == name)
    await pilot.pause()
    return found


async def test_a_program_asks_while_one_looks(some: Home, opened: Open, claude: Mcp):
    async with opened(some, WIDE) as pilot:
        await there(pilot)
        claude.tool("search_memory", query="which seat on the plane")
        await until(pilot, lambda: top(pilot).get("query") == "which seat on the plane")
        assert (top(pilot)["client"], top(pilot)["what"], top(pilot)["count"]) == ("claude", "search", 2)
        await until(pilot, lambda: "words: 1st" in texts(pilot))  # its answer stands below by itself
        claude.tool("add_memories", text="The cello is tuned in fifths")
        await until(pilot, lambda: top(pilot).get("query") == "The cello is tuned in fifths")
        seen = next(one for one in programs(pilot).items if one["name"] == "claude")
        assert seen["last_seen"] >= top(pilot)["at"]


async def test_what_is_refused_is_seen(some: Home, opened: Open, cursor: Mcp, api: Api):
    kept = api.must("GET", "/memories")["memories"][0]["id"]
    api.must("PATCH", "/clients/cursor", {"delete": False, "review": True})
    try:
        async with opened(some, WIDE) as pilot:
            await there(pilot)
            assert "may not delete" in str(cursor.tool("delete_memories", memory_ids=[kept]))
            await until(pilot, lambda: (top(pilot).get("what"), top(pilot).get("refused")) == ("delete", "refused"))
            await until(pilot, lambda: "refused: not permitted" in texts(pilot))
            cursor.tool("add_memories", text="The viola waits")
            await until(pilot, lambda: "for review" in texts(pilot))
    finally:
        api.must("PATCH", "/clients/cursor", {"delete": True, "review": False})
    rows = [line.split("\t") for line in some.jmem("log", "--access", "--client", "cursor").stdout.splitlines()]
    assert ("delete", "refused") in {(row[2], row[5]) for row in rows}


async def test_its_answers_open_with_the_reasons(some: Home, opened: Open, claude: Mcp):
    async with opened(some, (80, 24)) as pilot:
        await there(pilot)
        claude.tool("search_memory", query="milk in the coffee")
        await until(pilot, lambda: top(pilot).get("query") == "milk in the coffee")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Answers))
        assert "Oat milk in the coffee" in texts(pilot)
        assert "meaning: 1st" in texts(pilot)
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, ActivityPlace)


async def test_a_pause_holds_what_is_new_back(some: Home, opened: Open, claude: Mcp):
    async with opened(some, WIDE) as pilot:
        place = await there(pilot)
        await pilot.press("space")
        before = len(place.items)
        claude.tool("search_memory", query="while it is held")
        await until(pilot, lambda: "paused, 1 new" in texts(pilot))
        assert len(place.items) == before
        await pilot.press("space")
        await until(pilot, lambda: top(pilot).get("query") == "while it is held")


async def test_the_cursor_stays_on_its_line(some: Home, opened: Open, claude: Mcp):
    async with opened(some, WIDE) as pilot:
        place = await there(pilot)
        await until(pilot, lambda: len(place.items) > 1)
        await pilot.press("down")
        held = place.current
        claude.tool("search_memory", query="one more on top")
        await until(pilot, lambda: top(pilot).get("query") == "one more on top")
        assert place.current == held
        assert place.cursor == 2


async def test_what_takes_a_programs_rights_away_has_a_key_in_the_last_line(some: Home, opened: Open, claude: Mcp):
    async with opened(some, (80, 24)) as pilot:
        await there(pilot)
        claude.tool("search_memory", query="anything")
        await on_program(pilot, "claude")
        bar = pilot.app.screen.query_one(KeyBar)
        assert bar.size.width == 80
        await until(pilot, lambda: "Disconnect" in str(bar.render()))
        assert "Take back" in str(bar.render())
        assert "Help" in str(bar.render())


async def test_only_one_program(some: Home, opened: Open, claude: Mcp, cursor: Mcp):
    async with opened(some, WIDE) as pilot:
        place = await there(pilot)
        claude.tool("search_memory", query="of claude")
        cursor.tool("search_memory", query="of cursor")
        await until(pilot, lambda: top(pilot).get("query") == "of cursor")
        await pilot.press("f")
        await until(pilot, lambda: {one["client"] for one in place.items} == {"cursor"})
        claude.tool("search_memory", query="not to be seen")
        cursor.tool("search_memory", query="of cursor again")
        await until(pilot, lambda: top(pilot).get("query") == "of cursor again")
        await pilot.press("escape")
        await until(pilot, lambda: "not to be seen" in [one["query"] for one in place.items])
        await on_program(pilot, "claude")
        await pilot.press("enter")
        await until(pilot, lambda: {one["client"] for one in place.items} == {"claude"})


async def test_what_the_interface_asks_itself_is_hidden(some: Home, opened: Open):
    async with opened(some, WIDE) as pilot:
        place = await there(pilot)
        assert "tui" not in {one["client"] for one in place.items}
        await pilot.press("o")
        await until(pilot, lambda: "tui" in {one["client"] for one in place.items})


async def test_the_whole_log_can_be_gone_through(some: Home, opened: Open, api: Api):
    for number in range(260):
        api.call(
            "POST", "/api/v1/search", {"query": f"number {number}", "mode": "text"}, headers={"X-Jmem-Client": "many"}
        )
    async with opened(some, WIDE) as pilot:
        place = await there(pilot)
        await until(pilot, lambda: len(place.items) >= 150)
        await pilot.press("G")
        await until(pilot, lambda: len(place.items) > 260)
        assert [one["id"] for one in place.items] == sorted((one["id"] for one in place.items), reverse=True)


async def test_rights_are_changed_right_there(some: Home, opened: Open, api: Api):
    async with opened(some, WIDE) as pilot:
        await there(pilot)
        found = await on_program(pilot, "cursor")
        for key, right in (("r", "read"), ("w", "write"), ("d", "delete"), ("v", "review")):
            before = allowed(api, "cursor")[right]
            for wanted in (not before, before):
                await pilot.press(key)
                await until(pilot, lambda r=right, w=wanted: found.current is not None and found.current[r] is w)
                assert allowed(api, "cursor")[right] is wanted


async def test_tags_and_the_cap(some: Home, opened: Open, api: Api):
    async with opened(some, WIDE) as pilot:
        await there(pilot)
        await on_program(pilot, "cursor")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(pilot.app.screen, Line))
        pilot.app.screen.query_one(Input).value = "travel, #my food"
        await pilot.press("enter")
        await until(pilot, lambda: allowed(api, "cursor")["tags"] == ["travel", "my food"])
        await until(pilot, lambda: "sees #travel" in texts(pilot))
        await pilot.press("t")
        await until(pilot, lambda: isinstance(pilot.app.screen, Line))
        pilot.app.screen.query_one(Input).value = ""
        await pilot.press("enter")
        await until(pilot, lambda: allowed(api, "cursor")["tags"] is None)
        await pilot.press("h")
        await until(pilot, lambda: isinstance(pilot.app.screen, Line))
        pilot.app.screen.query_one(Input).value = "many"
        await pilot.press("enter")
        await until(pilot, lambda: "a whole number from 1" in texts(pilot))
        pilot.app.screen.query_one(Input).value = "30"
        await pilot.press("enter")
        await until(pilot, lambda: allowed(api, "cursor")["writes_per_hour"] == 30)
        await until(pilot, lambda: "30/h" in texts(pilot))
        api.must("PATCH", "/clients/cursor", {"writes_per_hour": None})


async def test_everything_that_one_wrote_is_taken_back(some: Home, opened: Open, api: Api, claude: Mcp):
    claude.tool("add_memories", text="Wrong one: the moon is made of cheese")
    claude.tool("add_memories", text="Wrong two: fish sleep on trees")
    wrong = api.must("GET", "/stats")["clients"]["claude"]
    async with opened(some, (80, 24)) as pilot:
        await there(pilot)
        await pilot.press("p")
        await on_program(pilot, "claude")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(pilot.app.screen, TakeBack) and "Would take back" in texts(pilot))
        assert "- Wrong two: fish sleep on trees" in texts(pilot)
        line = pilot.app.screen.query_one(Input)
        line.value = "not a time at all"
        await until(pilot, lambda: "Would" not in texts(pilot))
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, TakeBack)
        line.value = "10 minutes ago"
        await until(pilot, lambda: "Would take back" in texts(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ActivityPlace))
        assert api.must("GET", "/stats")["clients"].get("claude", 0) == 0
    assert api.must("POST", "/undo", {"n": 1, "redo": True})["changed"] == wrong


async def test_disconnecting_asks(some: Home, opened: Open, api: Api):
    api.must("POST", "/clients", {"name": "leaving"})
    async with opened(some, WIDE) as pilot:
        await there(pilot)
        await until(pilot, lambda: "leaving" in [one["name"] for one in programs(pilot).items])
        await on_program(pilot, "leaving")
        for key in ("escape", "y"):
            await pilot.press("x")
            await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
            assert not allowed(api, "leaving")["revoked"]
            await pilot.press(key)
        await until(pilot, lambda: "leaving" not in [one["name"] for one in programs(pilot).items])
        assert allowed(api, "leaving")["revoked"]


async def test_connecting_shows_what_it_would_do(some: Home, opened: Open, api: Api, monkeypatch: pytest.MonkeyPatch):
    for name, value in some.env.items():
        monkeypatch.setenv(name, value)
    (some.path.parent / ".cursor").mkdir(exist_ok=True)
    async with opened(some, (110, 36)) as pilot:
        await there(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, Connect) and pilot.app.screen.query_one(Rows).items)
        listed = pilot.app.screen.query_one(Rows)
        listed.cursor = next(at for at, one in enumerate(listed.items) if one.name == "cursor")
        await until(pilot, lambda: '"mcpServers"' in texts(pilot))
        await until(pilot, lambda: "Enter writes this" in texts(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: (some.path.parent / ".cursor" / "mcp.json").exists())
        await until(pilot, lambda: "It is connected" in texts(pilot))
        listed.cursor = next(at for at, one in enumerate(listed.items) if one.name == OTHER)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Line))
        pilot.app.screen.query_one(Input).value = "my-agent"
        await pilot.press("enter")
        await until(
            pilot,
            lambda: "mcp --client my-agent" in " ".join(texts(pilot).split()) and "/mcp/my-agent/sse" in texts(pilot),
        )
    assert not allowed(api, "my-agent")["revoked"]


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (80, 24), (140, 40)])
async def test_every_size(some: Home, opened: Open, size: tuple[int, int]):
    async with opened(some, WIDE) as pilot:
        await there(pilot)
        await pilot.resize_terminal(*size)
        await pilot.press("down", "p", "down", "p", "f", "escape")
        await pilot.resize_terminal(*WIDE)
        await until(pilot, lambda: pilot.app.screen.query_one(Fitted).display and "sees every memory" in texts(pilot))


async def test_what_was_done_is_named_whole(some: Home, opened: Open):
    async with opened(some, WIDE) as pilot:
        lines = await there(pilot)
        event = {"id": 1, "at": "2026-11-25T12:00:00.000Z", "client": "cli", "what": "restore backup", "query": None,
                 "count": 0, "refused": None, "review": False}  # fmt: skip
        for width in (40, 80):
            assert " restore backup " in lines.line(event, 0, width).plain
            assert lines.line(event, 0, width).cell_len <= width
