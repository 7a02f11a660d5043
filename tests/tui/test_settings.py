"""Theme, keys and the daemon's settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from bench.home import Home, temporary_home
from jmem import launch
from jmem.tui import prefs
from jmem.tui.screens.ask import Line
from jmem.tui.screens.confirm import Choice
from jmem.tui.screens.keypress import KeyPress
from jmem.tui.screens.settings import SettingsPlace
from jmem.tui.widgets.choices import Choices
from tests.tui.conftest import Open, texts, until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Home]:
    with temporary_home() as home:
        home.start()
        with contextlib.closing(home.api()) as api:
            api.add("The first of all")
        yield home
    for child in launch._children:  # it was restarted from here
        child.poll()


@pytest.fixture
def some(daemon: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """Without choices of an earlier test."""
    monkeypatch.delenv("JMEM_PORT", raising=False)
    yield daemon
    for name in ("tui.toml", "config.toml"):
        (daemon.path / name).unlink(missing_ok=True)


async def there(pilot: Pilot[None], *keys: str) -> Choices:
    await pilot.app.run_action("app.tab('settings')")
    await until(pilot, lambda: isinstance(pilot.app.place, SettingsPlace))
    await pilot.press(*keys)
    place = pilot.app.screen
    assert isinstance(place, SettingsPlace)
    choices = place.query_one(Choices)
    await until(pilot, lambda: choices.items)
    return choices


async def on(pilot: Pilot[None], choices: Choices, id: str) -> None:
    choices.cursor = next(at for at, item in enumerate(choices.items) if item.id == id)
    await pilot.pause()


def item(choices: Choices, id: str) -> str:
    return next(item.value for item in choices.items if item.id == id)


async def test_a_theme_is_seen_before_it_is_kept(some: Home, opened: Open):
    async with opened(some) as pilot:
        choices = await there(pilot)
        await on(pilot, choices, "light")
        await until(pilot, lambda: pilot.app.theme == "light")
        await pilot.press("right")
        assert pilot.app.theme == "dark"
        await pilot.press("left")
        await on(pilot, choices, "contrast")
        await until(pilot, lambda: pilot.app.theme == "contrast")
        await pilot.press("2")
        await until(pilot, lambda: pilot.app.theme == "dark")
        await pilot.press("6")
        await on(pilot, choices, "light")
        await pilot.press("enter")
        await until(pilot, lambda: prefs.load(str(some.path)).theme == "light")
        await pilot.press("1")
        assert pilot.app.theme == "light"
    async with opened(some) as pilot:
        assert pilot.app.theme == "light"


async def test_a_key_is_changed_by_pressing_it(some: Home, opened: Open):
    async with opened(some, (140, 40)) as pilot:
        choices = await there(pilot, "right")
        await on(pilot, choices, "memories.sort")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, KeyPress))
        await pilot.press("f7")
        await until(pilot, lambda: item(choices, "memories.sort") == "f7")
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, KeyPress))
        await pilot.press("f8")
        await until(pilot, lambda: item(choices, "memories.sort") == "f7 f8")
        assert prefs.load(str(some.path)).keys == {"memories.sort": "f7,f8"}
        await pilot.press("1")
        await until(pilot, lambda: pilot.app.place.scope == "memories")
        assert pilot.app.focused.id == "question"
        await pilot.press("f8")  # it holds at once, also where letters are text
        await until(pilot, lambda: "last changed first" in texts(pilot))
        choices = await there(pilot)
        await on(pilot, choices, "memories.sort")
        await pilot.press("r")
        await until(pilot, lambda: item(choices, "memories.sort") == "o")
        assert prefs.load(str(some.path)).keys == {}


async def test_a_key_that_is_taken_is_told(some: Home, opened: Open):
    async with opened(some, (140, 40)) as pilot:
        choices = await there(pilot, "right")
        await on(pilot, choices, "memories.sort")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, KeyPress))
        await pilot.press("h")
        await until(pilot, lambda: "“History” (Memories) has no other key" in texts(pilot))
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, KeyPress)
        await pilot.press("delete")
        await until(pilot, lambda: "Enter takes it from there" in texts(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: item(choices, "memories.sort") == "del")
        assert prefs.load(str(some.path)).keys == {"memories.sort": "delete", "memories.delete": "d"}
        assert prefs.load(str(some.path)).problems == ()
        await pilot.press("enter", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsPlace))


async def test_a_setting_of_the_daemon(some: Home, opened: Open):
    async with opened(some, (140, 40)) as pilot:
        choices = await there(pilot, "left")
        await on(pilot, choices, "backup.keep")
        await until(pilot, lambda: "Daily backups kept" in texts(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Line))
        line = pilot.app.screen.query_one(Input)
        line.value = "many"
        await pilot.press("enter")
        await until(pilot, lambda: "a whole number, 0 or more" in texts(pilot))
        line.value = "3"
        await pilot.press("enter")
        await until(pilot, lambda: item(choices, "backup.keep") == "3")
        assert "keep = 3" in (some.path / "config.toml").read_text()
        await until(pilot, lambda: "a restart applies what was changed: R" in texts(pilot))
        await on(pilot, choices, "mcp.delete_all")
        await pilot.press("enter")  # yes or no needs no dialog
        await until(pilot, lambda: item(choices, "mcp.delete_all") == "true")
        await pilot.press("r")
        await until(pilot, lambda: item(choices, "mcp.delete_all") == "false")
        before = some.pid
        await pilot.press("R")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, SettingsPlace))
        assert some.pid == before
        await pilot.press("R")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("y")
        await until(pilot, lambda: some.pid not in (None, before))
        await until(pilot, lambda: "a restart applies" not in texts(pilot))


async def test_a_secret_is_not_shown(some: Home, opened: Open):
    (some.path / "config.toml").write_text('[llm]\napi_key = "sk-very-secret"\n')
    async with opened(some, (140, 40)) as pilot:
        choices = await there(pilot, "left")
        await until(pilot, lambda: item(choices, "llm.api_key") == "(set)")
        await on(pilot, choices, "llm.api_key")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Line))
        assert "sk-very-secret" not in texts(pilot)


async def test_the_environment_outweighs_the_file(some: Home, opened: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JMEM_PORT", "7001")
    async with opened(some, (140, 40)) as pilot:
        choices = await there(pilot, "left")
        await until(pilot, lambda: item(choices, "port") == f"7001, but now {some.state['port']}")
        await on(pilot, choices, "port")
        await until(pilot, lambda: "JMEM_PORT in the environment outweighs" in " ".join(texts(pilot).split()))


async def test_files_that_cannot_be_read(some: Home, opened: Open):
    async with opened(some, (140, 40)) as pilot:
        (some.path / "config.toml").write_text("=")
        (some.path / "tui.toml").write_text("=")
        choices = await there(pilot)
        await on(pilot, choices, "light")
        await pilot.press("enter")
        await until(pilot, lambda: "tui.toml can't be read" in "".join(n.message for n in pilot.app._notifications))
        assert any("config.toml can't be read" in n.message for n in pilot.app._notifications)
        assert (some.path / "tui.toml").read_text() == "="


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (80, 24)])
async def test_every_size(some: Home, opened: Open, size: tuple[int, int]):
    async with opened(some, (140, 40)) as pilot:
        await there(pilot)
        await pilot.resize_terminal(*size)
        await pilot.press("down", "right", "down", "pagedown", "right", "end", "right")
