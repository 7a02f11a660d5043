"""Writing memories in the interface: what is saved, what is asked, and that no text is ever lost."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from bench.home import Api, Home
from jmem.core.model import MAX_CONTENT_BYTES, tags_of
from jmem.tui import literal, saving
from jmem.tui.screens.confirm import Choice, Sheet
from jmem.tui.screens.conflict import ConflictDialog
from jmem.tui.screens.editor import Editor
from jmem.tui.screens.memories import MemoriesPlace
from jmem.tui.widgets.writing import Tick, WriteArea, WriteLine
from tests.tui.conftest import Open, texts, until
from tests.tui.test_memories import on_top, results, to_list, toasts, told

SECRET = "the deploy key is ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


@pytest.fixture(scope="module")
def some(daemon: Home) -> Home:
    """A daemon with a memory, so that nobody is welcomed."""
    with contextlib.closing(daemon.api()) as api:
        api.add("The first of all", tags=["travel", "food"])
    return daemon


@pytest.fixture
def api(some: Home) -> Iterator[Api]:
    with contextlib.closing(some.api(client="cursor")) as made:
        yield made


def get(api: Api, id: str) -> dict[str, object]:
    return dict(api.must("GET", f"/memories/{id}"))


def area(pilot: Pilot[None]) -> WriteArea:
    return pilot.app.screen.query_one(WriteArea)


async def editing(pilot: Pilot[None], id: str, *keys: str) -> Screen[Any]:
    """The editor of the newest memory."""
    await on_top(pilot, id)
    await pilot.press("e")
    await until(pilot, lambda: isinstance(pilot.app.screen, Editor) and pilot.app.focused is area(pilot))
    await pilot.press(*keys)
    return pilot.app.screen


async def back(pilot: Pilot[None]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))


async def asked(pilot: Pilot[None], text: str) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, Choice) and text in texts(pilot))


# ---- a new one


async def test_a_new_memory_with_all_its_fields(some: Home, api: Api, opened: Open) -> None:
    older = api.add("I like window seats")
    async with opened(some) as pilot:
        await to_list(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))
        await pilot.press(*"I like aisle seats", "tab", *"tra")
        tags = pilot.app.screen.query_one("#tags", WriteLine)
        await until(pilot, lambda: tags._suggestion == "travel")
        await pilot.press(
            "right", *", seats", "tab", *"2026-03-14", "tab", *"2030-01-01", "tab", *older["id"][-8:], "tab"
        )
        await until(pilot, lambda: "= I like window seats" in texts(pilot) and "= 2026-03-14" in texts(pilot))
        await pilot.press("space")
        assert pilot.app.screen.query_one(Tick).value
        assert "not saved yet" in texts(pilot)
        await pilot.press("ctrl+s")
        await told(pilot, "Remembered: “I like aisle seats”")
        await back(pilot)
        await until(pilot, lambda: results(pilot).rows[0]["content"] == "I like aisle seats")
        memory = results(pilot).rows[0]
    assert memory["tags"] == ["travel", "seats"]
    assert memory["occurred_at"].startswith("2026-03-1")
    assert memory["expires_at"].startswith("2030-01-0")
    assert (memory["privacy"], memory["supersedes"], memory["client"]) == ("local", older["id"], "tui")


async def test_nothing_to_save_and_a_field_that_is_not_understood(some: Home, opened: Open) -> None:
    async with opened(some) as pilot:
        await to_list(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "nothing to remember yet" in texts(pilot))
        await pilot.press(*"seen", "tab", "tab", *"some day soonish", "ctrl+s")
        await until(pilot, lambda: "Not saved: Happened is not a date or time" in texts(pilot))
        assert pilot.app.focused is not None
        assert pilot.app.focused.id == "occurred_at"
        await pilot.press("escape")
        await asked(pilot, "not saved")
        await pilot.press("d")
        await back(pilot)


async def test_the_same_text_is_not_stored_twice(some: Home, api: Api, opened: Open) -> None:
    api.add("said before")
    async with opened(some) as pilot:
        await to_list(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))
        await pilot.press(*"said before", "ctrl+s")
        await told(pilot, "That is remembered already")


# ---- one that is there


async def test_only_what_was_touched_is_sent_and_leaving_asks_only_then(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("Edit me\n", tags=["a"], occurred_at="2020-01-02T03:04:05.678Z", metadata={"k": "v"})
    async with opened(some) as pilot:
        await editing(pilot, memory["id"])
        await pilot.press("escape")
        await back(pilot)
        await editing(pilot, memory["id"], "ctrl+s")
        await back(pilot)
        assert get(api, memory["id"])["version"] == memory["version"], "nothing was sent"
        await editing(pilot, memory["id"], *"X: ")
        await pilot.press("escape")
        await asked(pilot, "not saved")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))
        assert area(pilot).content == "X: Edit me\n"
        await pilot.press("escape")
        await asked(pilot, "not saved")
        await pilot.press("s")
        await told(pilot, "Saved: “X: Edit me”")
        await until(pilot, lambda: results(pilot).rows[0]["content"] == "X: Edit me\n")
    now = get(api, memory["id"])
    assert (now["content"], now["occurred_at"], now["tags"]) == ("X: Edit me\n", memory["occurred_at"], ["a"])


async def test_a_field_is_cleared_by_emptying_it(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("Expires too early", expires_at="2031-01-01T00:00:00Z", tags=["gone"])
    async with opened(some) as pilot:
        editor = await editing(pilot, memory["id"])
        for field in ("expires_at", "tags"):
            editor.query_one(f"#{field}", WriteLine).value = ""
        await pilot.press("ctrl+s")
        await told(pilot, "Saved")
    now = get(api, memory["id"])
    assert (now["expires_at"], now["tags"]) == (None, [])


async def test_64_kib_are_edited_and_more_is_refused_with_the_text_kept(some: Home, api: Api, opened: Open) -> None:
    lines = "\n".join("x" * 63 for _ in range(MAX_CONTENT_BYTES // 64))
    memory = api.add(lines)
    async with opened(some) as pilot:
        await editing(pilot, memory["id"], "ctrl+end", "!")
        await pilot.press("ctrl+s")
        await told(pilot, "Saved")
        assert get(api, memory["id"])["content"] == lines + "!"
        await until(pilot, lambda: results(pilot).rows[0]["content"].endswith("!"))
        await editing(pilot, memory["id"])
        area(pilot).insert("more than fits\n")
        await until(pilot, lambda: "too long" in texts(pilot))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Not saved" in texts(pilot))
        assert area(pilot).content.startswith("more than fits\n")
        assert get(api, memory["id"])["content"] == lines + "!"


@pytest.mark.parametrize(
    "content",
    ["a\x1b[31mred\x1b]0;t\x07b\x9b", "\u202eabc\u202c \u2066x\u2069\ufeff", "one\r\ntwo\rthree\x0b\x85\u2028four", "tab\there",
     "👩‍👩‍👧‍👦 日本 e\u0301", "مرحبا", "\U0010f01b looks like a mark"],
)  # fmt: skip
async def test_what_a_terminal_would_obey_is_edited_and_stays_exact(
    some: Home, api: Api, opened: Open, content: str
) -> None:
    memory = api.add(content)
    async with opened(some) as pilot:
        await editing(pilot, memory["id"], "ctrl+end", "!")
        assert "\x1b" not in texts(pilot)
        await pilot.press("ctrl+s")
        await told(pilot, "Saved")
    assert get(api, memory["id"])["content"] == content + "!"


def test_marks_change_places_and_back() -> None:
    text = "".join(map(chr, [*range(1, 0x300), *range(0x2000, 0x2070), 0xFEFF, 0x10F01B, 0x10F100])) + "日本"
    assert literal.exact(literal.editable(text)) == text
    assert literal.exact(literal.typed(text.replace("\U0010f01b", "").replace("\U0010f100", ""))) == text.replace(
        "\U0010f01b", ""
    ).replace("\U0010f100", "")
    drawn = literal.drawn(literal.editable(text))
    assert not any((ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 or c in "\u202e\u2028\ufeff" for c in drawn)
    assert len(drawn) == len(text)


async def test_what_is_pasted_is_harmless(some: Home, opened: Open) -> None:
    from textual import events

    async with opened(some) as pilot:
        await to_list(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))
        pilot.app.post_message(events.Paste("x\x1b[2Jy"))
        await until(pilot, lambda: "x␛[2Jy" in texts(pilot))
        assert area(pilot).content == "x\x1b[2Jy"
        area(pilot).select_all()
        assert area(pilot).selected_text == "x\x1b[2Jy"
        await pilot.press("tab")
        pilot.app.post_message(events.Paste("tag\x9bs"))
        line = pilot.app.screen.query_one("#tags", WriteLine)
        await until(pilot, lambda: line.content == "tag\x9bs")
        assert "\x9b" not in texts(pilot)


# ---- secrets


@pytest.mark.parametrize(("key", "stored"), [("m", "[secret: "), ("k", "ghp_a1B2")])
async def test_a_secret_is_told_with_two_ways_on(some: Home, api: Api, opened: Open, key: str, stored: str) -> None:
    async with opened(some) as pilot:
        await to_list(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))
        area(pilot).insert(SECRET)
        await pilot.press("ctrl+s")
        await asked(pilot, "looks like a secret")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))
        assert area(pilot).content == SECRET
        await pilot.press("ctrl+s")
        await asked(pilot, "looks like a secret")
        await pilot.press(key)
        await told(pilot, "Remembered")
        await until(pilot, lambda: stored in results(pilot).rows[0]["content"])


# ---- two writers


async def test_two_writers_on_one_text(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("The meeting is on Monday\nin the big room")
    async with opened(some) as pilot:
        await editing(pilot, memory["id"], *"Mine: ")
        api.must("PATCH", f"/memories/{memory['id']}", {"content": "The meeting is on Tuesday\nin the big room"})
        await until(pilot, lambda: "cursor changed this memory just now" in texts(pilot))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConflictDialog))
        shown = texts(pilot)
        assert "cursor changed this memory" in shown
        assert "- The meeting is on Tuesday" in shown
        assert "+ Mine: The meeting is on Monday" in shown
        assert "in the big room" in shown
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))
        assert area(pilot).content.startswith("Mine: The meeting is on Monday")
        await until(pilot, lambda: "in the place of what cursor wrote: text" in texts(pilot))
        api.must("PATCH", f"/memories/{memory['id']}", {"content": "Cancelled"})
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConflictDialog) and "- Cancelled" in texts(pilot))
        assert get(api, memory["id"])["content"] == "Cancelled", "nothing is overwritten unseen"
        await pilot.press("m")
        await told(pilot, "Saved")
    assert str(get(api, memory["id"])["content"]).startswith("Mine: The meeting is on Monday")


async def test_taking_theirs(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("The code is 1234 for now")
    async with opened(some) as pilot:
        editor = await editing(pilot, memory["id"], *"Mine: ")
        editor.query_one("#tags", WriteLine).value = "kept"
        theirs = api.must("PATCH", f"/memories/{memory['id']}", {"content": "The code is 9999"})
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConflictDialog))
        await pilot.press("t")
        await back(pilot)
    now = get(api, memory["id"])
    assert (now["content"], now["tags"]) == (theirs["content"], ["kept"])


async def test_changes_of_different_fields_both_hold(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("Text of mine", tags=["old"])
    async with opened(some) as pilot:
        await editing(pilot, memory["id"], *"New: ")
        api.must("PATCH", f"/memories/{memory['id']}", {"tags": ["theirs"]})
        await pilot.press("ctrl+s")
        await told(pilot, "kept beside yours: tags")
    now = get(api, memory["id"])
    assert (now["content"], now["tags"]) == ("New: Text of mine", ["theirs"])


async def test_a_memory_that_is_deleted_meanwhile_can_be_saved_anew(some: Home, api: Api, opened: Open) -> None:
    memory = api.add("Soon gone", tags=["t"])
    async with opened(some) as pilot:
        await editing(pilot, memory["id"], *"Still: ")
        api.must("DELETE", f"/memories/{memory['id']}")
        await pilot.press("ctrl+s")
        await asked(pilot, "was deleted")
        await pilot.press("s")
        await told(pilot, "“Still: Soon gone”")
        await until(pilot, lambda: results(pilot).rows[0]["content"] == "Still: Soon gone")
        assert results(pilot).rows[0]["tags"] == ["t"]


def test_disputed_fields() -> None:
    base = {"content": "a", "tags": ["x"]}
    assert saving.disputed(base, {"content": "b", "tags": ["x"]}, {"content": "c"}) == ["content"]
    assert saving.disputed(base, {"content": "c", "tags": ["y"]}, {"content": "c"}) == []
    assert saving.remaining({"content": "c", "tags": ["x"]}, {"content": "c", "tags": ["z"]}) == {"tags": ["z"]}
    assert tags_of(" #a, b c ,, a,#b c") == ["a", "b c"]


# ---- the daemon goes away


async def test_a_daemon_that_is_killed_in_the_middle_of_an_edit(home: Home, opened: Open) -> None:
    home.start()
    with contextlib.closing(home.api()) as api:
        memory = api.add("Before the crash")
    async with opened(home) as pilot:
        await editing(pilot, memory["id"], *"After: ")
        home.kill()
        await until(pilot, lambda: pilot.app.facts["daemon"] == "stopped")
        assert area(pilot).content == "After: Before the crash"
        await pilot.press("ctrl+s")  # starts another one
        await until(pilot, lambda: "Saved: “After: Before the crash”" in toasts(pilot), 40)
        await until(pilot, lambda: pilot.app.facts["daemon"] == "live", 20)
        await until(pilot, lambda: results(pilot).rows[0]["content"] == "After: Before the crash")


async def test_a_daemon_that_has_to_start_is_told_at_once_and_a_second_key_changes_nothing(
    home: Home, opened: Open
) -> None:
    home.start()
    with contextlib.closing(home.api()) as api:
        api.add("Stays")
        memory = api.add("Goes")
    async with opened(home, size=(140, 40)) as pilot:
        await on_top(pilot, memory["id"])
        await pilot.pause(1)  # whatever is still asked would start another one
        home.kill()
        await until(pilot, lambda: pilot.app.facts["daemon"] == "stopped")
        await pilot.press("d")
        await told(pilot, "Starting the daemon")
        assert "○ starting" in texts(pilot)
        await pilot.press("down", "d")
        await told(pilot, "One moment")
        await until(pilot, lambda: "Deleted: “Goes”" in toasts(pilot), 40)
        await until(pilot, lambda: pilot.app.facts["daemon"] == "live", 5)
        await until(pilot, lambda: [row["content"] for row in results(pilot).rows.values()] == ["Stays"])


async def test_a_daemon_that_hangs_and_dies_while_it_is_asked(home: Home, opened: Open) -> None:
    pid = home.start()
    with contextlib.closing(home.api()) as api:
        memory = api.add("Before it hung")
    async with opened(home) as pilot:
        await editing(pilot, memory["id"], *"Mine: ")
        os.kill(pid, signal.SIGSTOP)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "saving…" in texts(pilot))
        os.kill(pid, signal.SIGKILL)
        await until(pilot, lambda: "Your text stays here" in texts(pilot), 30)
        assert area(pilot).content == "Mine: Before it hung"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Saved: “Mine: Before it hung”" in toasts(pilot), 40)


# ---- the person's own editor


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A script in the place of $EDITOR, and an interface that can make room for it."""
    script = tmp_path / "editor"
    monkeypatch.setenv("EDITOR", str(script))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr("jmem.tui.app.JmemApp.suspend", lambda app: contextlib.nullcontext())
    return script


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


async def test_editing_in_the_persons_own_editor(some: Home, api: Api, opened: Open, outside: Path) -> None:
    memory = api.add("From outside")
    script(outside, 'printf "changed by hand\\n" > "$1"')
    async with opened(some) as pilot:
        await on_top(pilot, memory["id"])
        await pilot.press("E")
        await told(pilot, "Saved: “changed by hand”")
        assert get(api, memory["id"])["content"] == "changed by hand"
        script(outside, "true")
        await until(pilot, lambda: results(pilot).rows[0]["content"] == "changed by hand")
        await pilot.press("E")
        await told(pilot, "Nothing was changed")
        script(outside, "exit 3")
        await pilot.press("E")
        await told(pilot, "ended with code 3")


async def test_what_comes_from_the_editor_and_can_not_be_saved_is_kept_in_the_dialog(
    some: Home, api: Api, opened: Open, outside: Path
) -> None:
    memory = api.add("Contested")
    script(outside, f'{os.environ.get("SHELL", "/bin/sh")} -c true; printf "by hand" > "$1"')
    async with opened(some) as pilot:
        await on_top(pilot, memory["id"])

        def meanwhile(*args: object) -> tuple[str, str]:
            api.must("PATCH", f"/memories/{memory['id']}", {"content": "by a program"})
            path = outside.with_name("text")
            path.write_text("by hand")
            return str(path), "by hand"

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("jmem.cli.editor.edit_text", meanwhile)
            await pilot.press("E")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConflictDialog))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))
        assert area(pilot).content == "by hand"
        await pilot.press("ctrl+s")
        await told(pilot, "Saved")
    assert get(api, memory["id"])["content"] == "by hand"


async def test_the_dialog_hands_its_text_to_the_editor_and_takes_it_back(
    some: Home, opened: Open, outside: Path
) -> None:
    script(outside, 'printf " and outside" >> "$1"')
    async with opened(some) as pilot:
        await to_list(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, Editor))
        await pilot.press(*"inside", "ctrl+o")
        await until(pilot, lambda: area(pilot).content == "inside\n and outside")
        await pilot.press("ctrl+z")
        await until(pilot, lambda: area(pilot).content == "inside")


async def test_what_it_replaces_is_completed_from_its_words(some: Home, api: Api, opened: Open) -> None:
    old = api.add("The spare key hangs in the cellar")
    some.indexed()
    new = api.add("The spare key lies under the pot")
    async with opened(some) as pilot:
        await editing(pilot, str(new["id"]))
        line = pilot.app.screen.query_one("#supersedes", WriteLine)
        line.focus()
        await pilot.press(*"spare key", "space", *"cellar")
        await until(pilot, lambda: "takes: The spare key hangs" in texts(pilot))
        await pilot.press("right")
        await until(pilot, lambda: line.value == str(old["id"])[-12:])
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, MemoriesPlace))
    assert get(api, str(new["id"]))["supersedes"] == old["id"]


async def test_it_never_replaces_itself(some: Home, api: Api, opened: Open) -> None:
    only = api.add("Zanzibar is spelled with two z")
    some.indexed()
    async with opened(some) as pilot:
        await editing(pilot, str(only["id"]))
        line = pilot.app.screen.query_one("#supersedes", WriteLine)
        line.focus()
        await pilot.press(*"zanzibar")
        await until(pilot, lambda: "takes:" in texts(pilot))
        assert not line._suggestion.endswith(str(only["id"])[-12:])


async def test_a_receipt_names_what_an_editor_left(
    some: Home, api: Api, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = api.add("To be forgotten, and left in a file")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"jmem-{str(memory['id'])[-6:]}-abc.md"
    left.write_text("To be forgotten")
    async with opened(some, (140, 40)) as pilot:
        await on_top(pilot, str(memory["id"]))
        await pilot.press("ctrl+d")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(pilot.app.screen, Sheet))
        await until(pilot, lambda: left.name in texts(pilot).replace("\n", "").replace("│", "").replace(" ", ""))
        assert left.exists()
