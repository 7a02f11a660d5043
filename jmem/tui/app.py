"""The application: places by name, themes, the daemon's feed, and what holds everywhere."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from textual import events, on, work
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.notifications import SeverityLevel
from textual.screen import Screen

from jmem.client import Client
from jmem.core.errors import JmemError
from jmem.tui import actions, ahead, themes
from jmem.tui.actions import Action
from jmem.tui.feed import Accessed, Changed, Connected, Disconnected, Feed, Starting
from jmem.tui.prefs import Prefs
from jmem.tui.remote import Remote
from jmem.tui.screens.base import Dialog, Place, say
from jmem.tui.undoing import Undoing

STARTING = "Starting the daemon…"
LEAST = Size(10, 3)
"""In a smaller window this much is drawn, and cut off by it: nothing can be folded into no columns."""
END_S = 3.0
"""After a signal, in which the terminal can be given back; one that is gone may take no more output."""
COUNT_S = 1.0
"""Between two countings for the top bar while programs write."""


class Counted(Message):
    """How many memories there are, without those that wait for review, and how many wait."""

    def __init__(self, memories: int, review: int) -> None:
        super().__init__()
        self.memories, self.review = memories, review


class Unstarted(Message):
    """There is no daemon, and none could be started."""

    def __init__(self, error: JmemError) -> None:
        super().__init__()
        self.error = error


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
    NOTIFICATION_TIMEOUT = 3
    ENABLE_COMMAND_PALETTE = False  # ours is opened by an action of ours
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
    ToastRack { margin-bottom: 1; }
    Toast { max-width: 60; padding: 0 1; margin-top: 0; }
    """

    def __init__(
        self, client: Client, prefs: Prefs, *, user: str = "default", plain: bool = False, colours: bool = True
    ) -> None:
        """`plain`: the terminal takes only ASCII; without `colours` none is sent."""
        super().__init__()
        self.client, self.prefs = client, prefs
        self.remote = Remote(client)
        self.facts: dict[str, Any] = {"user": user, "daemon": "starting"}
        client.told = lambda event: self.post_message(Starting(event))
        self._feed = Feed(client, self)
        self._problems = list(prefs.problems)
        self._colours = colours
        self._counting = False
        self._use_themes(prefs)
        self.set_keymap(prefs.keys)
        if not colours:
            self._lose_colours()
        if plain:
            from jmem.tui.ascii import AsciiFilter

            self._filters.append(AsciiFilter())

    def _lose_colours(self) -> None:
        from jmem.tui.colourless import Colourless

        self.no_color = False  # Textual would make them shades of grey, which are colours too
        self._filters = [Colourless()]
        self.theme = "contrast"

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

    def offered_themes(self) -> list[str]:
        """Ours, then the person's; without colours there is no choice."""
        names = [theme.name for theme in themes.BUILT_IN]
        return [*names, *(name for name in self.prefs.themes if name in self.available_themes and name not in names)]

    def use_theme(self, name: str) -> None:
        """Show it, unless there are no colours; `prefs` are not changed by it."""
        if self._colours:
            self.theme = name

    def use_prefs(self, prefs: Prefs) -> None:
        """Take other choices in at once."""
        self.prefs = prefs
        self.set_keymap(prefs.keys)
        self.use_theme(prefs.theme if prefs.theme in self.available_themes else "dark")

    def get_css_variables(self) -> dict[str, str]:
        """Those of the theme, and `dim`: its text, half way to its background."""
        return themes.with_dim(super().get_css_variables())

    def on_mount(self) -> None:
        for problem in self._problems:
            self.notify(problem, severity="warning", timeout=10, markup=False)
        if not self.is_headless:
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self._end, number)
        self._feed.start()
        self._wake()
        self.set_timer(1.0, _collect)
        self.set_timer(ahead.AFTER_S, ahead.begin)

    @work(group="wake", exclusive=True)
    async def _wake(self) -> None:
        """Have a daemon, once, at the start."""
        try:
            await self.remote(lambda daemon: daemon.start())
        except JmemError as error:
            self.post_message(Unstarted(error))

    @on(Unstarted)
    def _unstarted(self, unstarted: Unstarted) -> None:
        say(self.screen, unstarted.error)

    def _end(self, number: int) -> None:
        """A signal asks for the end: give the terminal back, unless there is none any more."""
        last = threading.Timer(END_S, os._exit, (128 + number,))
        last.daemon = True
        last.start()
        self.exit(None, 128 + number)

    def on_unmount(self) -> None:
        self._feed.stop()
        self.remote.close()

    def notify(
        self, message: str, *, title: str = "", severity: SeverityLevel = "information", timeout: float | None = None,
        markup: bool = False,
    ) -> None:  # fmt: skip
        """Say something for a moment; what was said before gives way, for several would hide the list."""
        if severity == "information":
            self.clear_notifications()
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)

    def learn(self, **facts: Any) -> None:
        """Know something new of the daemon, and show it."""
        self.facts.update(facts)
        stack = self.screen_stack  # empty while the app ends
        if stack and isinstance(stack[0], Place):
            stack[0].show_facts()

    @property
    def place(self) -> Place | None:
        """Where one is, below any dialog."""
        return next((s for s in reversed(self.screen_stack) if isinstance(s, Place) and s.is_mounted), None)

    def action_of(self, scope: str, method: str) -> Action | None:
        """The action of a scope that a binding calls by this method."""
        return next((a for a in actions.of(scope) if a.method.partition("(")[0] == method), None)

    # ---- what happens in the daemon

    @on(Starting)
    def _starting(self, start: Starting) -> None:
        """Tell at once why what was asked for takes a moment."""
        if start.event == "started":
            self._feed.hurry()
        elif start.event == "failed":
            self.clear_notifications()
            self.learn(daemon="stopped")
        elif self.facts["daemon"] == "stopped":
            self.learn(daemon="starting")
            self.notify(STARTING, timeout=20)

    @on(Connected)
    def _connected(self) -> None:
        if any(said.message == STARTING for said in self._notifications):  # what was asked for tells nothing itself
            self.notify("The daemon runs again", timeout=2)
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
        self._fall_behind(change)
        if self.screen_stack and isinstance(self.screen, Dialog):
            self.screen.memory_changed(change)
        if not self._counting and self.place is not None and self.place.scope != "memories":
            self._counting = True
            self.set_timer(COUNT_S, self._count)

    def _fall_behind(self, event: Message) -> None:
        """Places that are not seen read again when one comes back to them."""
        here = self.place
        for stack in self._screen_stacks.values():
            for screen in stack:
                if isinstance(screen, Place) and screen is not here and isinstance(event, screen.follows):
                    screen.behind = True

    @work(group="count")
    async def _count(self) -> None:
        """For the top bar, where the place does not count itself."""
        self._counting = False
        try:
            status = await self.remote(lambda daemon: daemon.without_start().status())
        except JmemError:
            return  # the bar says that the daemon is gone
        self.post_message(Counted(status["memories"] - status["review"], status["review"]))

    @on(Counted)
    def _counted(self, counted: Counted) -> None:
        self.learn(memories=counted.memories, review=counted.review)

    @on(Accessed)
    def _accessed(self, access: Accessed) -> None:
        if self.place is not None:
            self.place.accessed(access)
        self._fall_behind(access)

    # ---- everywhere

    async def on_event(self, event: events.Event) -> None:
        """A window of hardly any columns or rows counts as LEAST."""
        if isinstance(event, events.Resize) and (event.size.width < LEAST.width or event.size.height < LEAST.height):
            size = Size(max(event.size.width, LEAST.width), max(event.size.height, LEAST.height))
            event = events.Resize(size, size)
        await super().on_event(event)

    async def on_key(self, event: events.Key) -> None:
        """The person's own key, while one writes, for an action that has only letters otherwise.

        Textual drops the letters' bindings there before it looks into the key map, and the action with them.
        """
        focused = self.screen.focused if self.screen_stack else None  # there is none while the app ends
        if (
            not self.prefs.keys
            or focused is None
            or actions.prints(event.key)
            or not focused.check_consume_key("a", "a")
        ):
            return
        mine = {id for id, keys in self.prefs.keys.items() if event.key in keys.split(",")}
        mine = {id for id in mine if all(map(actions.prints, actions.keys_of(actions.BY_ID[id], {})))}
        for node in focused.ancestors_with_self if mine else ():
            found = next((b.id for b in type(node).BINDINGS if isinstance(b, Binding) and b.id in mine), None)
            if found is not None:
                event.stop()
                await self.run_action(actions.BY_ID[found].method, node)
                return

    def action_tab(self, mode: str) -> None:
        """To another place, also from a page that one came to from here; not from a question."""
        from jmem.tui.screens.page import Page

        while isinstance(self.screen, Page):
            self.screen.action_leave()
        if len(self.screen_stack) == 1:
            for said in list(self._notifications):
                if said.severity == "information" and said.message != STARTING:
                    self._unnotify(said, refresh=False)  # it was about the place that one leaves
            self.switch_mode(mode)

    def action_conflicts(self) -> None:
        """Texts that were written apart."""
        from jmem.tui.screens.conflicts import ConflictsPage

        if isinstance(self.screen, Place) and not isinstance(self.screen, ConflictsPage):
            self.push_screen(ConflictsPage())

    def action_leave(self) -> None:
        """Out."""
        self.exit()

    def action_palette(self) -> None:
        """Every action by its name."""
        from jmem.tui.palette import Commands, Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette({Commands}, placeholder="Find an action"))

    def action_help(self) -> None:
        """Every key of where one is."""
        from jmem.tui.screens.help import Help

        if isinstance(self.screen, Help):
            return
        focused = self.screen.focused
        nodes = focused.ancestors_with_self if focused is not None else [self.screen]
        ids = [b.id.partition(".")[0] for node in nodes for b in type(node).BINDINGS if isinstance(b, Binding) and b.id]
        self.push_screen(Help([scope for scope in dict.fromkeys(ids) if scope in actions.SCOPES and scope != "app"]))

    def action_refresh(self) -> None:
        """Ask again."""
        if self.place is not None:
            self.place.reload()
