"""The application: places by name, themes, the daemon's feed, and what holds everywhere."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, ClassVar

from textual import on, work
from textual.screen import Screen

from jmem.client import Client
from jmem.core.errors import JmemError
from jmem.tui import actions, themes
from jmem.tui.actions import Action
from jmem.tui.feed import Accessed, Changed, Connected, Disconnected, Feed
from jmem.tui.prefs import Prefs
from jmem.tui.remote import Remote
from jmem.tui.screens.base import Dialog, Place, say
from jmem.tui.undoing import Undoing


def _place(name: str, cls: str) -> Callable[[], Screen[Any]]:
    """Its module is imported when one first goes there."""

    def make() -> Screen[Any]:
        from importlib import import_module

        screen: Screen[Any] = getattr(import_module(f"jmem.tui.screens.{name}"), cls)()
        return screen

    return make


def _collect() -> None:
    """Garbage is collected from now on; what the start made stays."""
    gc.freeze()
    gc.enable()


class JmemApp(Undoing):
    """One user's memory on a screen. `facts` is what every place shows of the daemon."""

    TITLE = "jmem"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS = actions.bindings("app")  # type: ignore[assignment]
    MODES: ClassVar[dict[str, Any]] = {
        "memories": _place("memories", "MemoriesPlace"),
        "activity": _place("activity", "ActivityPlace"),
        "review": _place("review", "ReviewPlace"),
        "duplicates": _place("duplicates", "DuplicatesPlace"),
        "status": _place("status", "StatusPlace"),
        "settings": _place("settings", "SettingsPlace"),
    }
    DEFAULT_MODE = "memories"
    CSS = """
    Screen { background: $background; color: $foreground; }
    Toast { max-width: 60; }
    """

    def __init__(self, client: Client, prefs: Prefs, *, user: str = "default", plain: bool = False) -> None:
        super().__init__()
        self.client, self.prefs = client, prefs
        self.remote = Remote(client)
        self.facts: dict[str, Any] = {"user": user, "daemon": "starting"}
        self._feed = Feed(client, self)
        self._problems = list(prefs.problems)
        self._use_themes(prefs)
        self.set_keymap(prefs.keys)
        if plain:
            from jmem.tui.ascii import AsciiFilter

            self._filters.append(AsciiFilter())

    def _use_themes(self, prefs: Prefs) -> None:
        for theme in themes.BUILT_IN:
            self.register_theme(theme)
        for name, colours in prefs.themes.items():
            try:
                self.register_theme(themes.custom(name, colours))
            except ValueError as error:
                self._problems.append(str(error))
        if prefs.theme in self.available_themes:
            self.theme = prefs.theme
        else:
            self.theme = "dark"
            self._problems.append(f"no theme is called {prefs.theme!r}")

    def get_css_variables(self) -> dict[str, str]:
        """Those of the theme, and `dim`: its text, half way to its background."""
        return themes.with_dim(super().get_css_variables())

    def on_mount(self) -> None:
        for problem in self._problems:
            self.notify(problem, severity="warning", timeout=10, markup=False)
        self._feed.start()
        self._wake()
        self.set_timer(1.0, _collect)

    @work(group="wake", exclusive=True)
    async def _wake(self) -> None:
        """Have a daemon, once, at the start."""
        try:
            await self.remote(lambda daemon: daemon.start())
        except JmemError as error:
            say(self.screen, error)

    def on_unmount(self) -> None:
        self._feed.stop()
        self.remote.close()

    def learn(self, **facts: Any) -> None:
        """Know something new of the daemon, and show it."""
        self.facts.update(facts)
        if isinstance(self.screen_stack[0], Place):
            self.screen_stack[0].show_facts()

    @property
    def place(self) -> Place | None:
        """Where one is, below any dialog."""
        return next((s for s in reversed(self.screen_stack) if isinstance(s, Place)), None)

    def action_of(self, scope: str, method: str) -> Action | None:
        """The action of a scope that a binding calls by this method."""
        return next((a for a in actions.of(scope) if a.method.partition("(")[0] == method), None)

    # ---- what happens in the daemon

    @on(Connected)
    def _connected(self) -> None:
        self.learn(daemon="live")
        for mode in list(self._screen_stacks):
            for screen in self._screen_stacks[mode]:
                if isinstance(screen, Place) and screen.is_mounted:
                    screen.reload()

    @on(Disconnected)
    def _disconnected(self) -> None:
        self.learn(daemon="stopped")

    @on(Changed)
    def _changed(self, change: Changed) -> None:
        if self.place is not None:
            self.place.memory_changed(change)
        if isinstance(self.screen, Dialog):
            self.screen.memory_changed(change)

    @on(Accessed)
    def _accessed(self, access: Accessed) -> None:
        if self.place is not None:
            self.place.accessed(access)

    # ---- everywhere

    def action_tab(self, mode: str) -> None:
        """To another place."""
        if len(self.screen_stack) == 1:
            self.switch_mode(mode)

    def action_leave(self) -> None:
        """Out."""
        self.exit()

    def action_palette(self) -> None:
        """Every action by its name."""
        self.action_command_palette()

    def action_refresh(self) -> None:
        """Ask again."""
        if self.place is not None:
            self.place.reload()
