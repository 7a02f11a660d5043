"""The list and what one does to its memories, before a real daemon."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator

import pytest
from textual.pilot import Pilot

from bench.fill import filled
from bench.home import Api, Home, temporary_home
from jmem.tui import saving
from jmem.tui.screens.confirm import Choice, Sheet
from jmem.tui.screens.editor import Editor
from jmem.tui.screens.history import HistoryPage
from jmem.tui.screens.memories import MemoriesPlace
from jmem.tui.screens.reader import Reader
from jmem.tui.screens.tags import Tagger, TagLine, signed
from jmem.tui.widgets.longtext import LongText, folded
from jmem.tui.widgets.results import Results, tags_in
from tests.tui.conftest import Open, texts, until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def some(daemon: Home) -> Home:
    """A daemon with a memory, so that nobody is welcomed."""
    with contextlib.closing(daemon.api()) as api:
        api.add("The first of all")
    return daemon


@pytest.fixture
def api(some: Home) -> Iterator[Api]:
    with contextlib.closing(some.api()) as made:
        yield made


def results(pilot: Pilot[None]) -> Results:
    return pilot.app.screen_stack[0].query_one(Results)


async def to_list(pilot: Pilot[None]) -> Results:
    results(pilot).focus()
    await pilot.pause()
    return results(pilot)


async def on_top(pilot: Pilot[None], id: str) -> Results:
    """The list, its cursor on the newest memory, which has this id."""
    found = await to_list(pilot)
    await until(pilot, lambda: found.rows.get(0, {}).get("id") == id)
    found.cursor = 0
    await pilot.pause()
    return found


def toasts(pilot: Pilot[None]) -> str:
    return "\n".join(notification.message for notification in pilot.app._notifications)


async def told(pilot: Pilot[None], text: str) -> None:
    try:
        await until(pilot, lambda: text in toasts(pilot))
    except AssertionError as error:
        raise AssertionError(f"not told {text!r} but {toasts(pilot)!r}: {error}") from None


# ---- what one comes back to


async def test_what_was_written_while_one_was_elsewhere_is_there_when_one_comes_back(
    some: Home, api: Api, opened: Open
) -> None:
    api.add("Known before")
    async with opened(some) as pilot:
        await to_list(pilot)
        await pilot.press("2")
        await until(pilot, lambda: pilot.app.current_mode == "activity")
        new = api.add("Written in another window")
        place = pilot.app._screen_stacks["memories"][0]
        assert isinstance(place, MemoriesPlace)
        await until(pilot, lambda: place.behind)
        await pilot.press("1")
        await until(pilot, lambda: results(pilot).rows.get(0, {}).get("id") == new["id"])


async def test_a_version_that_is_brought_back_is_in_the_list(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("As it was at first")
    api.must("PATCH", f"/memories/{memory['id']}", {"content": "As it became"})
    async with opened(some, size=(140, 40)) as pilot:
        await on_top(pilot, memory["id"])
        await until(pilot, lambda: results(pilot).rows[0]["content"] == "As it became")
        await pilot.press("h")
        await until(pilot, lambda: isinstance(pilot.app.screen, HistoryPage) and "added" in texts(pilot))
        await pilot.press("end", "enter")
        await told(pilot, "Version 1 is back")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))
        await until(pilot, lambda: texts(pilot).count("As it was at first") == 2 and "As it became" not in texts(pilot))


async def test_the_cursor_goes_to_what_was_just_made_or_brought_back(some: Home, api: Api, opened: Open) -> None:
    below, above = api.add("One below"), api.add("One above")
    async with opened(some) as pilot:
        found = await on_top(pilot, above["id"])
        await pilot.press("down", "a")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))
        await pilot.press(*"Made just now", "ctrl+s")
        await until(pilot, lambda: found.current and found.current["content"] == "Made just now")
        await pilot.press("down", "down")
        assert found.current
        assert found.current["id"] == below["id"]
        await pilot.press("d")
        await told(pilot, "Deleted: “One below”")
        await until(pilot, lambda: found.current and found.current["id"] != below["id"])
        await pilot.press("up", "u")
        await told(pilot, "Undone")
        await until(pilot, lambda: found.current and found.current["id"] == below["id"])


# ---- one memory


async def test_the_reader_shows_all_of_a_long_memory_and_finds_in_it(some: Home, api: Api, opened: Open) -> None:
    lines = [f"line {n} of many, with some words in it" for n in range(1500)]
    lines[1200] = "here hides the Needle in the hay"
    content = "\n".join(lines)[:65_000]
    memory = api.add(content)
    async with opened(some) as pilot:
        await on_top(pilot, memory["id"])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader) and "line 0 of many" in texts(pilot))
        assert f"{len(content):,} bytes" in texts(pilot)
        await pilot.press("end")
        await until(pilot, lambda: "created" in texts(pilot))
        await pilot.press("home", "slash", *"needle", "enter")
        await until(pilot, lambda: "hides the Needle" in texts(pilot) and "1 of 1" in texts(pilot))
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, Reader), "the first Esc leaves the search"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))


async def test_the_reader_goes_from_match_to_match_and_follows_changes(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("\n".join(f"{n} same" for n in range(300)))
    async with opened(some) as pilot:
        await on_top(pilot, memory["id"])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader))
        await pilot.press("slash", *"SAME", "enter")
        await until(pilot, lambda: "1 of 300" in texts(pilot))
        await pilot.press("n", "n")
        await until(pilot, lambda: "3 of 300" in texts(pilot))
        await pilot.press("N")
        await until(pilot, lambda: "2 of 300" in texts(pilot))
        api.must("PATCH", f"/memories/{memory['id']}", {"content": "short now"})
        await until(pilot, lambda: "short now" in texts(pilot))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))


@pytest.mark.parametrize(
    "content",
    [
        "\x1b[31mred\x1b[0m \x1b]0;title\x07 bell \x9b2J csi",
        "reversed \u202egnirts\u202c and \u2066isolated\u2069 \ufeffmark",
        "اجتماع الفريق كل يوم أحد في الساعة العاشرة " * 20,
        "👩‍👩‍👧‍👦 日本 e\u0301 Zu\u0308rich a\u0300\u0301\u0302 🏯 " * 30,
        "a" * 5_000,
        "日" * 3_000,
        "\r\n lines \r of another\tsystem\x0b\x0c\x85",
    ],
    ids=["escapes", "directions", "right-to-left", "emoji", "one-word", "wide-word", "line-ends"],
)
async def test_any_text_is_shown_and_never_executed(some: Home, api: Api, opened: Open, content: str) -> None:
    memory = api.add(content)
    async with opened(some, (80, 24)) as pilot:
        await on_top(pilot, memory["id"])
        for key, kind in (("enter", Reader), ("e", Editor)):
            harmless(pilot)
            await pilot.press(key)
            await until(pilot, lambda kind=kind: isinstance(pilot.app.screen, kind))
            await pilot.pause()
            harmless(pilot)
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))
        assert api.must("GET", f"/memories/{memory['id']}")["content"] == memory["content"], "looking changes nothing"


def harmless(pilot: Pilot[None]) -> None:
    for strip in pilot.app.screen._compositor.render_strips():
        text = strip.text
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2066\u2028" for c in text), repr(text)


def test_a_text_is_folded_at_spaces_and_nothing_of_it_is_lost() -> None:
    text = "one two three\n\nlongerthanthewidth 日本日本日本 x"
    lines = [text[start:end] for start, end in folded(text, 8)]
    assert lines == ["one two", "three", "", "longerth", "anthewid", "th", "日本日本", "日本 x"]
    assert [text[a:b] for a, b in folded("", 5)] == [""]


# ---- changes


async def test_deleting_archiving_pausing_and_undo(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("I change my state")
    id = memory["id"]

    def now() -> dict[str, object]:
        return next(iter(api.must("GET", f"/log?limit=1&id={id}")["actions"]))

    async with opened(some) as pilot:
        for key, state, word in (("x", "archived", "Archived"), ("p", "paused", "Paused")):
            found = await on_top(pilot, id)
            await pilot.press(key)
            await told(pilot, f"{word}: “I change my state”")
            assert api.must("GET", f"/memories/{id}")["state"] == state
            await until(pilot, lambda found=found: found.rows.get(0, {}).get("id") != id)
            await pilot.press("u")
            await on_top(pilot, id)
        await pilot.press("d")
        await told(pilot, "Deleted: “I change my state”\nu takes it back")
        await until(pilot, lambda: results(pilot).rows.get(0, {}).get("id") != id)
        await pilot.press("u")
        await on_top(pilot, id)
        await told(pilot, "Undone: “I change my state” is back")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: results(pilot).rows.get(0, {}).get("id") != id)
        await told(pilot, "Done again: “I change my state” is deleted")
        await pilot.press("u")
        await on_top(pilot, id)
    assert now()["kind"] == "undo"


async def test_an_archived_memory_becomes_active_by_the_same_key(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("Put away long ago", state="archived")
    async with opened(some) as pilot:
        place = pilot.app.screen
        assert isinstance(place, MemoriesPlace)
        place.ask(place.view.toggled("state", "archived"))
        await on_top(pilot, memory["id"])
        await pilot.press("x")
        await told(pilot, "Active again")
    assert api.must("GET", f"/memories/{memory['id']}")["state"] == "active"


async def test_forgetting_asks_and_shows_the_receipt(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("Something embarrassing")
    async with opened(some) as pilot:
        await on_top(pilot, memory["id"])
        await pilot.press("ctrl+d")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice) and "can't be undone" in texts(pilot))
        await pilot.press("enter")  # the first answer keeps it
        await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))
        assert api.must("GET", f"/memories/{memory['id']}")["content"] == "Something embarrassing"
        await pilot.press("ctrl+d")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(pilot.app.screen, Sheet) and memory["id"] in texts(pilot))
        assert "index" in texts(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))
    assert api.call("GET", f"/api/v1/memories/{memory['id']}").status == 404


async def test_restoring_from_the_list_of_the_deleted(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("Deleted by mistake")
    api.must("DELETE", f"/memories/{memory['id']}")
    async with opened(some) as pilot:
        place = pilot.app.screen
        assert isinstance(place, MemoriesPlace)
        place.ask(place.view.toggled("state", "deleted"))
        found = await to_list(pilot)
        await until(pilot, lambda: found._place_of(memory["id"]) is not None)
        found.cursor = found._place_of(memory["id"])
        await pilot.press("e")
        await told(pilot, "bring it back first")
        await pilot.press("r")
        await told(pilot, "Back again: “Deleted by mistake”")
    assert api.must("GET", f"/memories/{memory['id']}")["deleted"] is False


async def test_tags_of_several_at_once(some: Home, api: Api, opened: Open) -> None:
    a = api.add("tag me a", tags=["old"])
    b = api.add("tag me b", tags=["both", "old"])
    async with opened(some) as pilot:
        found = await on_top(pilot, b["id"])
        await pilot.press("space", "space")
        assert set(found.marked) == {a["id"], b["id"]}
        assert "2 marked" in texts(pilot)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(pilot.app.screen, Tagger))
        assert "1 of 2" in texts(pilot), "one of them has the tag"
        await pilot.press(*"brand new", "enter")
        await until(pilot, lambda: "added" in texts(pilot))
        await pilot.press(*"old", "enter")
        await until(pilot, lambda: "taken off" in texts(pilot))
        await pilot.press("ctrl+s")
        await told(pilot, "Tagged: 2 memories")
        assert not found.marked
        assert set(api.must("GET", f"/memories/{a['id']}")["tags"]) == {"brand new"}
        assert set(api.must("GET", f"/memories/{b['id']}")["tags"]) == {"both", "brand new"}
        await pilot.press("u")
        await told(pilot, "Undone: 2 memories as before: tags")
    assert api.must("GET", f"/memories/{a['id']}")["tags"] == ["old"]
    assert set(api.must("GET", f"/memories/{b['id']}")["tags"]) == {"both", "old"}


async def test_a_typed_tag_is_saved_without_choosing_it(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("tag me quickly")
    async with opened(some) as pilot:
        await on_top(pilot, memory["id"])
        await pilot.press("t")
        await until(pilot, lambda: isinstance(pilot.app.screen, Tagger))
        assert isinstance(pilot.app.focused, TagLine)
        await pilot.press(*"#quick", "ctrl+s")
        await told(pilot, "Tagged")
    assert api.must("GET", f"/memories/{memory['id']}")["tags"] == ["quick"]


async def test_tags_with_signs_are_understood_and_nothing_is_thrown_away_unasked(
    some: Home, api: Api, opened: Open
) -> None:
    memory = api.add("tag me with signs", tags=["travel"])
    assert signed("+new -#old") == {"new": True, "old": False}
    assert signed("+new old") == signed("+") == signed("") == signed("c++") == {}
    async with opened(some) as pilot:
        await on_top(pilot, memory["id"])
        await pilot.press("t")
        await until(pilot, lambda: "Tags of “tag me with signs”" in texts(pilot))
        await pilot.press("space")
        await until(pilot, lambda: "taken off" in texts(pilot))
        await pilot.press("space")
        await until(pilot, lambda: "taken off" not in texts(pilot))
        await pilot.press(*"+new -travel", "enter")
        await until(pilot, lambda: "added" in texts(pilot) and "taken off" in texts(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "Not saved yet" in texts(pilot))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Tagger))
        await pilot.press("escape")
        await until(pilot, lambda: "Not saved yet" in texts(pilot))
        await pilot.press("s")
        await told(pilot, "Tagged")
    assert api.must("GET", f"/memories/{memory['id']}")["tags"] == ["new"]


async def test_what_is_read_whole_is_tended_by_the_keys_of_the_list(some: Home, api: Api, opened: Open) -> None:
    kept, memory = api.add("marked, not read"), api.add("read whole")
    async with opened(some, size=(120, 30)) as pilot:
        found = await on_top(pilot, memory["id"])
        await pilot.press("down", "space", "home", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader) and "h History" in texts(pilot))
        assert set(found.marked) == {kept["id"]}
        await pilot.press("h")
        await until(pilot, lambda: isinstance(pilot.app.screen, HistoryPage))
        await pilot.press("escape", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader))
        await pilot.press("t")
        await until(pilot, lambda: "Tags of “read whole”" in texts(pilot))
        await pilot.press("escape", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader))
        await pilot.press("d")
        await told(pilot, "Deleted: “read whole”")
    listed = {one["id"] for one in api.must("GET", "/memories?limit=100")["memories"]}
    assert kept["id"] in listed
    assert memory["id"] not in listed


async def test_what_is_told_stays_in_its_place_and_not_for_long(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("told of for a moment")
    async with opened(some) as pilot:
        await on_top(pilot, memory["id"])
        await pilot.press("x")
        await told(pilot, "Archived")
        assert {said.timeout for said in pilot.app._notifications} == {3}
        await pilot.press("2")
        await until(pilot, lambda: pilot.app.current_mode == "activity")
        assert "Archived" not in toasts(pilot)
        assert "Archived: " not in texts(pilot)


async def test_how_to_quit_is_told_while_one_types(some: Home, opened: Open) -> None:
    async with opened(some) as pilot:
        await until(pilot, lambda: "^q Quit" in texts(pilot))
        await to_list(pilot)
        await until(pilot, lambda: "^q Quit" not in texts(pilot))


async def test_deleting_several_asks_and_one_undo_brings_all_back(some: Home, api: Api, opened: Open) -> None:
    ids = {api.add(f"one of five {n}")["id"] for n in range(5)}
    async with opened(some) as pilot:
        found = await to_list(pilot)
        await until(pilot, lambda: found.rows.get(0, {}).get("content") == "one of five 4")
        found.cursor = 0
        await pilot.press("space", "space", "space", "space", "space", "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))
        assert len(found.marked) == 5
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("y")
        await told(pilot, "Deleted: 5 memories")
        assert all(api.call("GET", f"/api/v1/memories/{id}").body["deleted"] for id in ids)
        await pilot.press("u")
        await told(pilot, "Undone: 5 memories are back")
    assert not any(api.must("GET", f"/memories/{id}")["deleted"] for id in ids)


async def test_copy_puts_the_exact_text_on_the_clipboard(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("copy\tthis \x1b[1mexactly")
    async with opened(some) as pilot:
        await on_top(pilot, memory["id"])
        await pilot.press("y")
        await told(pilot, "Copied")
        assert pilot.app.clipboard == "copy\tthis \x1b[1mexactly"
        base64.b64encode(pilot.app.clipboard.encode())
        await pilot.press("space", "space", "y")
        await told(pilot, "Copied 2 memories")
        assert pilot.app.clipboard.startswith("copy\tthis \x1b[1mexactly\n\n")


# ---- sizes


async def test_a_terminal_of_20_by_5_and_back(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("small " * 50, tags=["a", "b"])
    async with opened(some, (80, 24)) as pilot:
        await on_top(pilot, memory["id"])
        for key in ("enter", "e", "t", "ctrl+d", "a"):
            await pilot.press(key)
            await until(pilot, lambda: not isinstance(pilot.app.screen, MemoriesPlace))
            for size in ((20, 5), (8, 3), (140, 40), (80, 24)):
                await pilot.resize_terminal(*size)
                await pilot.pause()
                assert len(texts(pilot).split("\n")) == size[1]
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))
        await until(pilot, lambda: "small small" in texts(pilot))


async def test_the_reader_keeps_its_place_when_the_width_changes(some: Home, api: Api, opened: Open) -> None:
    memory = api.add(" ".join(f"word{n}" for n in range(5000)))
    async with opened(some, (80, 24)) as pilot:
        await on_top(pilot, memory["id"])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader))
        await pilot.press("pagedown", "pagedown", "pagedown")
        await pilot.pause()
        text = pilot.app.screen.query_one(LongText)
        await until(pilot, lambda: text.scroll_offset.y > 40)
        first = texts(pilot).splitlines()[1].split()[1]
        await pilot.resize_terminal(50, 24)
        await pilot.pause()
        assert first in texts(pilot)


# ---- many

MANY = 4_500


@pytest.fixture(scope="module")
def many() -> Iterator[Home]:
    """More memories than the list ever holds at once; `bench.terminal` scrolls through a hundred thousand."""
    with temporary_home(filled(MANY, synthetic=True)) as home:
        home.start()
        yield home


async def test_to_the_end_of_a_long_list_and_back(many: Home, opened: Open) -> None:
    async with opened(many) as pilot:
        found = await to_list(pilot)
        await until(pilot, lambda: found.total == MANY)
        await pilot.press("end")
        await until(pilot, lambda: found.current is not None and found.cursor == MANY - 1)
        last = found.current
        await pilot.press("up", "up", "pageup")
        await until(pilot, lambda: found.current is not None and found.current != last)
        await pilot.press("home")
        await until(pilot, lambda: found.cursor == 0 and found.current is not None)
        await pilot.press("end")
        await until(pilot, lambda: found.current == last)
        assert len(found.rows) < MANY


async def test_several_batches_are_one_undo(many: Home, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "STEP", 50)
    with contextlib.closing(many.api()) as api:
        tag, count = api.must("GET", "/tags")["tags"][0].values()
    assert count > 150
    async with opened(many) as pilot:
        place = pilot.app.screen
        assert isinstance(place, MemoriesPlace)
        place.ask(place.view.toggled("tags", tag))
        found = await to_list(pilot)
        await until(pilot, lambda: found.total == count)
        await pilot.press("asterisk")
        await until(pilot, lambda: len(found.marked) == count, 30)
        said, progress = [], place.progress

        def advance(done: int, of: int) -> None:  # a quick machine is done before the screen is drawn
            progress(done, of)
            said.append(place.query_one("#list").border_subtitle)

        monkeypatch.setattr(place, "progress", advance)
        await pilot.press("x")
        await until(pilot, lambda: f"Archived: {count:,} memories" in toasts(pilot), 60)
        assert said == [*(f"changing {count:,} memories: {done:,} done" for done in range(0, count, 50)), ""]
        await until(pilot, lambda: found.total == 0 and not found.marked)
        await pilot.press("u")
        await until(pilot, lambda: f"Undone: {count:,} memories are active" in toasts(pilot), 60)
        await until(pilot, lambda: found.total == count)


@pytest.mark.parametrize(
    ("tags", "room", "shown"),
    [((), 10, ""), (("a", "bc"), 10, "#a #bc"), (("travel", "food", "home"), 10, "#travel +2"), (("a" * 20, "b"), 10, "#aaaaa… +1")],
)  # fmt: skip
def test_tags_that_do_not_fit_are_counted(tags: tuple[str, ...], room: int, shown: str):
    assert tags_in(tags, room) == shown


async def test_a_line_tells_what_is_local_and_what_ends(some: Home, opened: Open):
    with contextlib.closing(some.api()) as api:
        ids = [api.must("POST", "/memories", {"content": "The alarm code hangs in the shed", "privacy": "local"})["id"],
               api.must("POST", "/memories", {"content": "The pass is valid", "expires_at": "2999-01-01"})["id"]]  # fmt: skip
        async with opened(some, (140, 40)) as pilot:
            await until(pilot, lambda: "The alarm code" in texts(pilot))
            lines = texts(pilot).splitlines()
            assert any("The alarm code" in line and " local " in line for line in lines)
            assert any("The pass is valid" in line and " ends in " in line for line in lines)
        for id in ids:
            api.must("DELETE", f"/memories/{id}?purge=true")


async def test_an_id_is_copied(some: Home, api: Api, opened: Open) -> None:
    ids = [api.add(text)["id"] for text in ("Its id is copied", "And this one's too")]
    async with opened(some) as pilot:
        await on_top(pilot, ids[1])
        await pilot.press("Y")
        assert pilot.app.clipboard == ids[1]
        await told(pilot, ids[1])
        await pilot.press("space", "space", "Y")
        assert pilot.app.clipboard == "\n".join((ids[1], ids[0]))
        await pilot.press("escape", "home", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Reader))
        pilot.app._clipboard = ""
        await pilot.press("Y")
        assert pilot.app.clipboard == ids[1]
        assert "Copied the id" in toasts(pilot)


async def test_ages_do_not_touch_the_scrollbar(some: Home, api: Api, opened: Open) -> None:
    api.must("POST", "/memories/batch", {"operations": [
        {"op": "add", "content": f"A row of a long list, number {number}"} for number in range(60)
    ]})  # fmt: skip
    async with opened(some) as pilot:
        rows = await to_list(pilot)
        await until(pilot, lambda: rows.total > 60 and rows.show_vertical_scrollbar)
        shown = rows.render_line(0).text
        assert len(shown) == rows.size.width - 1
        assert shown.endswith("now ")
