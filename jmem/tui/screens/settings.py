"""Theme, keys, and the daemon's settings: what each is, where it comes from, and changing it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from jmem.cli import configfile
from jmem.client import Client
from jmem.core import settings as core
from jmem.core.errors import Invalid, JmemError, Unreachable
from jmem.core.settings import SETTINGS
from jmem.tui import actions, keymap, prefs, shown
from jmem.tui.feed import Changed
from jmem.tui.palette import shown_keys
from jmem.tui.prefs import Prefs
from jmem.tui.screens.base import Place
from jmem.tui.screens.status import restart, restarting
from jmem.tui.widgets.choices import Choices, Setting

PARTS: tuple[tuple[str, str], ...] = (("theme", "Theme"), ("keys", "Keys"), ("daemon", "Daemon"))
LOW = 12
_SWATCHES = ("background", "panel", "primary", "secondary", "accent", "success", "error")


class Loaded(Message):
    """The daemon's settings as this process sees them, and the port that the daemon has now."""

    def __init__(self, settings: core.Settings, port: int | None, *, changed: str = "") -> None:
        super().__init__()
        self.settings, self.port, self.changed = settings, port, changed


class Chosen(Message):
    """The person's choices as they stand in the file now."""

    def __init__(self, prefs: Prefs) -> None:
        super().__init__()
        self.prefs = prefs


class Restarted(Message):
    """The daemon runs again."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Parts(Widget):
    """The parts side by side; a click goes to one."""

    DEFAULT_CSS = "Parts { height: 1; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self.here = "theme"
        self._spans: list[tuple[int, int, str]] = []

    def render(self) -> Text:
        line, self._spans = Text(no_wrap=True, end=""), []
        for part, title in PARTS:
            start = line.cell_len
            line.append(
                f" {title} ", f"bold reverse {self.app.theme_variables['primary']}" if part == self.here else ""
            )
            self._spans.append((start, line.cell_len, part))
            line.append("  ")
        line.append("  ← →", self.app.theme_variables.get("dim", "dim"))
        return line

    def on_click(self, event: events.Click) -> None:
        for start, end, part in self._spans:
            if start <= event.x - 1 < end and isinstance(self.screen, SettingsPlace):
                self.screen.go(part)


class SettingsPlace(Place):
    """One part at a time; what stands under the cursor is explained below."""

    scope = "settings"
    DEFAULT_CSS = """
    SettingsPlace #setting { border: round $panel; border-subtitle-color: $warning; }
    SettingsPlace #setting:focus-within { border: round $primary; }
    SettingsPlace #about { height: auto; min-height: 3; max-height: 6; padding: 0 2; color: $foreground 80%; }
    SettingsPlace.-low #setting { border: none; }
    SettingsPlace.-low #about { display: none; }
    """
    AUTO_FOCUS = "Choices"

    def __init__(self) -> None:
        super().__init__()
        # held, not looked for: what happens while the screen is taken down still finds them
        self._parts, self._choices = Parts(), Choices()
        self._pane, self._about = Vertical(id="setting"), Static("", id="about", markup=False)
        self.part = "theme"
        self._settings: core.Settings | None = None
        self._port: int | None = None
        """what the running daemon listens on"""
        self._stale = False

    def content(self) -> ComposeResult:
        yield self._parts
        with self._pane:
            yield self._choices
        yield self._about

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < LOW, "-low")

    # ---- what is shown

    def reload(self) -> None:
        self.fetch(_settings, lambda read: Loaded(*read), group="settings", exclusive=True)
        self._fill(keep=True)

    def memory_changed(self, change: Changed) -> None:
        """Of no interest here."""

    def on_screen_suspend(self) -> None:
        self.jmem.use_theme(self.jmem.prefs.theme)  # one that was only looked at

    def go(self, part: str) -> None:
        """To another part."""
        self.jmem.use_theme(self.jmem.prefs.theme)
        self.part = part
        parts = self._parts
        parts.here = part
        parts.refresh()
        self._fill(keep=False)

    def action_part(self, step: int) -> None:
        """To the next part, or the one before."""
        names = [name for name, _ in PARTS]
        self.go(names[(names.index(self.part) + step) % len(names)])

    def _fill(self, *, keep: bool) -> None:
        lines = {"theme": self._themes, "keys": self._keys, "daemon": self._daemon}[self.part]()
        choices = self._choices
        choices.show(lines, keep=keep)
        if not keep and self.part == "theme":
            choices.cursor = next((at for at, line in enumerate(lines) if line.on), 0)
        self._pane.border_subtitle = "a restart applies what was changed: R" if self._stale else ""

    def _themes(self) -> list[Setting]:
        found, chosen = [], self.jmem.prefs.theme
        for name in self.jmem.offered_themes():
            theme = self.app.available_themes[name]
            colours = tuple(str(getattr(theme, part)) for part in _SWATCHES)
            mine = "yours" if name in self.jmem.prefs.themes else "light" if not theme.dark else "dark"
            about = "Enter keeps it. Themes of your own: [themes.NAME] in tui.toml, with primary, background, …"
            found.append(Setting(name, shown.one_line(name), "", mine, about, on=name == chosen, colours=colours))
        return found

    def _keys(self) -> list[Setting]:
        own, found = self.jmem.prefs.keys, list[Setting]()
        for scope, title in actions.SCOPES.items():
            if held := actions.of(scope):
                found.append(Setting("", title))
            for action in held:
                origin = "yours" if action.id in own else ""
                keys = shown_keys(self.jmem, action)
                found.append(
                    Setting(action.id, action.title, keys, origin, f"{action.id}: {action.help}.", own=action.id in own)
                )
        return found

    def _daemon(self) -> list[Setting]:
        if self._settings is None:
            return []
        values, origins, found = self._settings.values, self._settings.origins, list[Setting]()
        for setting in SETTINGS:
            value = _text(values[setting.key])
            if setting.secret and value:
                value = "(set)"
            origin = origins[setting.key]
            about = f"{setting.help[:1].upper()}{setting.help[1:]}. By default: {_text(setting.default) or 'nothing'}."
            if setting.env and origin == setting.env:
                about += f" {setting.env} in the environment outweighs the file."
            if setting.key == "port" and self._port not in (None, values["port"]):
                value += f", but now {self._port}"
                about = f"The daemon that runs listens on {self._port}. {about}"
            found.append(Setting(setting.key, setting.key, value or "–", origin, about, own=origin != "default"))
        return found

    @on(Choices.Moved)
    def _moved(self) -> None:
        item = self._choices.current
        self._about.update(item.about if item else "")
        if item is not None and item.id and self.part == "theme":
            self.jmem.use_theme(item.id)

    @on(Loaded)
    def _loaded(self, loaded: Loaded) -> None:
        self._settings, self._port = loaded.settings, loaded.port
        if loaded.changed:
            self._stale = self.jmem.facts["daemon"] == "live"
            self.notify(
                f"{loaded.changed} is kept in config.toml"
                + (". R restarts the daemon, which applies it." if self._stale else ""),
                markup=False,
            )
        self._fill(keep=True)

    @on(Chosen)
    def _take(self, chosen: Chosen) -> None:
        self.jmem.use_prefs(chosen.prefs)
        self._fill(keep=True)
        self.refresh_bindings()

    # ---- changing

    @on(Choices.Chosen)
    def _clicked(self) -> None:
        self.action_change()

    def action_change(self) -> None:
        """What is under the cursor."""
        item = self._choices.current
        if item is None or not item.id:
            return
        if self.part == "theme":
            self._choose({"theme": item.id})
        elif self.part == "keys":
            self._press(item.id, add=False)
        else:
            self._edit(item.id)

    def action_add_key(self) -> None:
        """One more."""
        item = self._choices.current
        if self.part == "keys" and item is not None and item.id:
            self._press(item.id, add=True)

    def action_reset(self) -> None:
        """As it is by default."""
        item = self._choices.current
        if item is None or not item.id:
            return
        if self.part == "theme":
            self._choose({"theme": None})
        elif self.part == "keys":
            self._choose({f"keys.{item.id}": None})
        else:
            self._write(item.id, lambda path: configfile.take(path, item.id))

    def _choose(self, entries: Mapping[str, str | None]) -> None:
        """Write to tui.toml, and take it in."""

        def call(daemon: Client) -> Prefs:
            for name, value in entries.items():
                _kept(lambda: prefs.save(daemon.home, name, value))  # noqa: B023 (called at once)
            return prefs.load(daemon.home)

        self.fetch(call, Chosen, group="choose")

    @work(group="ask")
    async def _press(self, id: str, *, add: bool) -> None:
        from jmem.tui.screens.keypress import KeyPress

        action, own = actions.BY_ID[id], self.jmem.prefs.keys
        key = await self.app.push_screen_wait(KeyPress(action))
        if key is None:
            return
        held = [keymap.name_of(one) for one in actions.keys_of(action, own)] if add else []
        entries: dict[str, str | None] = {f"keys.{id}": ",".join(dict.fromkeys([*held, key]))}
        for other in keymap.clashing(action, key, own):
            left = [one for one in actions.keys_of(other, own) if keymap.name_of(one) != key]
            entries[f"keys.{other.id}"] = ",".join(left)
        self._choose(entries)

    @work(group="ask")
    async def _edit(self, key: str) -> None:
        from jmem.tui.screens.ask import Line

        assert self._settings is not None
        setting, value = core.BY_KEY[key], self._settings[key]
        if isinstance(value, bool):
            self._write(key, lambda path: configfile.put(path, key, not value))
            return
        hint = _hint(setting)
        text = await self.app.push_screen_wait(
            Line(key, "" if setting.secret else _text(value), password=setting.secret,
                 check=lambda text: _wrong(key, text), help=f"{setting.help}{f': {hint}' if hint else ''}")
        )  # fmt: skip
        if text is not None:
            self._write(key, lambda path: configfile.put(path, key, core.parse_setting(key, text)))

    def _write(self, key: str, change: Callable[[Path], object]) -> None:
        def call(daemon: Client) -> tuple[core.Settings, int | None]:
            _kept(lambda: change(core.config_path(Path(daemon.home))))
            return _settings(daemon)

        self.fetch(call, lambda read: Loaded(*read, changed=key), group="settings")

    @work(group="ask")
    async def action_restart(self) -> None:
        """So that it takes in what was changed."""
        if not await restarting(self):
            return
        self.notify("Restarting the daemon…", markup=False, timeout=2)
        self.fetch(restart, Restarted, group="restart", exclusive=True)

    @on(Restarted)
    def _restarted(self, done: Restarted) -> None:
        self._stale = False
        self.notify(done.text, markup=False)
        self.reload()


def _settings(daemon: Client) -> tuple[core.Settings, int | None]:
    """The settings, and the port of the daemon where one runs."""
    settings, quiet = core.load({**os.environ, "JMEM_HOME": daemon.home}), daemon.without_start()
    try:
        return settings, quiet.status()["daemon"]["port"] if quiet.running() else None
    except Unreachable:  # it stopped in the middle
        return settings, None


def _kept(write: Callable[[], object]) -> None:
    """Write a file; a failure is told as one of the daemon's would be."""
    try:
        write()
    except OSError as error:
        raise JmemError(f"{error.filename}: {error.strerror}", code="file") from None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrong(key: str, text: str) -> str:
    try:
        core.parse_setting(key, text)
    except Invalid as error:
        return error.message
    return ""


def _hint(setting: core.Setting) -> str:
    """What a value may be, as its parser says it."""
    try:
        setting.parse("")
    except ValueError as error:
        return str(error)
    return ""  # any text
