"""tui.toml: what it may say, what is told of it, and how it is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.color import Color

from bench.home import Home, temporary_home
from jmem.core.errors import Invalid
from jmem.tui import ascii, colourless, keymap, prefs, themes
from jmem.tui.actions import BY_ID
from jmem.tui.main import takes_utf8
from tests.tui.conftest import Open


@pytest.fixture(scope="module")
def daemon() -> Iterator[Home]:
    with temporary_home() as home:
        home.start()
        yield home


def load(folder: Path, text: str) -> prefs.Prefs:
    (folder / "tui.toml").write_text(text, encoding="utf-8")
    return prefs.load(str(folder))


def test_without_a_file_everything_is_as_usual(tmp_path: Path):
    assert prefs.load(str(tmp_path)) == prefs.Prefs()


def test_keys_in_tables_and_with_dots(tmp_path: Path):
    found = load(
        tmp_path, '[keys]\n"memories.edit" = "f4"\n[keys.memories]\nadd = "ctrl+a, n"\n[keys.review]\napprove="?"\n'
    )
    assert found.keys == {"memories.edit": "f4", "memories.add": "ctrl+a,n", "review.approve": "question_mark"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("theme = ", "can't be read"),
        ("theme = 3", "theme must be a name"),
        ("keys = 3", "keys must be a table"),
        ("themes = 3", "themes must be a table"),
        ("[themes]\nmine = 3", "themes.mine must be a table of colours"),
        ("[key]\n", "unknown entry 'key'"),
        ('[keys.memories]\nedti = "e"', "no action is called 'memories.edti'"),
        ("[keys.memories]\nedit = 4", "the keys of memories.edit must be text"),
        ('[keys.memories]\nedit = "ctrl+foo"', "no key is called 'ctrl+foo' (memories.edit)"),
        ('[keys.memories]\nedit = "a"', "(memories.edit) in memories"),
        ('[keys.memories]\nedit = "?"', "and Help (app.help) in memories"),
        ("a" * 40_000 + "=1", "tui.toml"),
    ],
)
def test_what_is_wrong_is_told_in_words(tmp_path: Path, text: str, said: str):
    assert any(said in problem for problem in load(tmp_path, text).problems), load(tmp_path, text).problems


def test_two_keys_that_change_places_do_not_clash(tmp_path: Path):
    assert load(tmp_path, '[keys.memories]\nedit = "t"\ntag = "e"\n').problems == ()


def test_saving_keeps_what_else_is_in_the_file(tmp_path: Path):
    home = str(tmp_path)
    load(
        tmp_path,
        '# mine\ntheme = "dark"  # at night\n\n[keys]\n"memories.tag" = "f7"\n\n[keys.memories]\nedit = "f4"\n',
    )
    for name, value in (
        ("theme", "light"),
        ("keys.memories.tag", "f8"),
        ("keys.memories.edit", None),
        ("keys.review.edit", "f6"),
    ):
        prefs.save(home, name, value)
    text = prefs.path(home).read_text(encoding="utf-8")
    assert "# mine" in text
    assert "# at night" in text
    found = prefs.load(home)
    assert found.theme == "light"
    assert found.keys == {"memories.tag": "f8", "review.edit": "f6"}
    assert prefs.path(home).stat().st_mode & 0o777 == 0o600


def test_saving_into_a_new_home_and_into_a_broken_file(tmp_path: Path):
    home = str(tmp_path / "new")
    prefs.save(home, "keys.memories.edit", None)
    prefs.save(home, "keys.memories.edit", "f4")
    assert prefs.load(home).keys == {"memories.edit": "f4"}
    prefs.path(home).write_text("=", encoding="utf-8")
    with pytest.raises(Invalid, match=r"tui\.toml"):
        prefs.save(home, "theme", "dark")
    assert prefs.path(home).read_text(encoding="utf-8") == "="


def test_who_has_a_key_already():
    edit = BY_ID["memories.edit"]
    assert [action.id for action in keymap.clashing(edit, "t", {})] == ["memories.tag"]
    assert [action.id for action in keymap.clashing(edit, "f5", {})] == ["app.refresh"]
    assert keymap.clashing(edit, "t", {"memories.tag": "f7"}) == []
    assert "memories.tag" in [action.id for action in keymap.clashing(BY_ID["app.undo"], "t", {})]


@pytest.mark.parametrize("colours", [{"primary": "nope"}, {"primary": 3}, {"colour": "#fff"}, {"dark": "yes"}])
def test_a_theme_that_is_wrong(colours: dict[str, object]):
    with pytest.raises(ValueError, match="theme mine"):
        themes.custom("mine", colours)


def test_a_theme_of_ones_own_stands_on_one_of_ours():
    mine = themes.custom("mine", {"dark": False, "primary": "#ff0000"})
    assert (mine.primary, mine.background, mine.dark) == ("#ff0000", themes.LIGHT.background, False)


async def test_the_themes_and_what_is_wrong_are_there_at_the_start(daemon: Home, opened: Open):
    (daemon.path / "tui.toml").write_text(
        'theme = "mine"\n[themes.mine]\nprimary = "#ff8800"\n[themes.bad]\nprimary = "x"\n'
    )
    try:
        async with opened(daemon) as pilot:
            assert pilot.app.theme == "mine"
            assert pilot.app.current_theme.primary == "#ff8800"
            assert any("theme bad" in one.message for one in pilot.app._notifications)
    finally:
        (daemon.path / "tui.toml").unlink()


@pytest.mark.parametrize(
    ("environ", "without"),
    [
        ({"TERM": "xterm-256color"}, False),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, True),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, False),
        ({"TERM": "vt100"}, True),
        ({"TERM": "dumb"}, True),
        ({"TERM": "vt100", "COLORTERM": "truecolor"}, False),
        ({}, True),
    ],
)
def test_when_no_colour_is_shown(environ: dict[str, str], without: bool):
    assert colourless.wanted(environ) is without


def test_without_colours_a_ground_is_reverse_and_a_faint_text_dim():
    style = Style(color="#ffff00", bgcolor="#303030", bold=True)
    here = Style(color="#ffffff", bgcolor="#303030", reverse=True)
    faint = Style(color="#303030", bgcolor="#000000")
    shown = colourless.Colourless().apply(
        [Segment("a", style), Segment("b", here), Segment("c", faint)], Color(0, 0, 0)
    )
    styles = [segment.style for segment in shown]
    assert [(s.color, s.bgcolor) for s in styles if s] == [(None, None)] * 3
    assert [(bool(s.bold), bool(s.reverse), bool(s.dim)) for s in styles if s] == [
        (True, True, False), (False, False, False), (False, False, True),
    ]  # fmt: skip


async def test_not_one_cell_has_a_colour(daemon: Home, opened: Open, monkeypatch: pytest.MonkeyPatch):
    from jmem.client import Client
    from jmem.tui.app import JmemApp

    app = JmemApp(Client(str(daemon.path), client="tui"), prefs.Prefs(), colours=False)
    async with app.run_test(size=(100, 30)) as pilot:
        for mode in ("activity", "review", "status", "settings"):
            await app.switch_mode(mode)
            await pilot.pause()
            segments = [segment for strip in app.screen._compositor.render_strips() for segment in strip]
            assert segments
            assert {(s.style.color, s.style.bgcolor) for s in segments if s.style} == {(None, None)}


@pytest.mark.parametrize(
    ("environ", "utf8"),
    [
        ({}, True),
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "C.utf8"}, True),
        ({"LANG": "C"}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),  # what Python makes of it
        ({"LANG": "de_DE.UTF-8", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "ja_JP.eucJP"}, False),
    ],
)
def test_whether_the_terminal_takes_utf8(environ: dict[str, str], utf8: bool):
    assert takes_utf8(environ) is utf8


@pytest.mark.parametrize(
    ("text", "plain"),
    [("╭─╮│╰╯", "+-+|++"), ("● ○ ✓ ✗ …", "* . + - ~"), ("é 日本", "e ????"), ("⏎ ↑ ↓ ← →", "> ^ v < >"), ("█░", "#.")],
)
def test_ascii_is_as_wide(text: str, plain: str):
    assert ascii.plain(text) == plain
