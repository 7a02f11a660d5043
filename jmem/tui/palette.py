"""The command palette: everything that can be done here, by its name, with the key that does it at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterator, Set
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, cast

from textual.actions import parse
from textual.binding import Binding
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider, SearchIcon
from textual.content import Content
from textual.dom import DOMNode
from textual.widgets import Input

from jmem.tui.actions import BY_ID, SCOPES, Action, keys_of
from jmem.tui.screens.base import Once, Place

if TYPE_CHECKING:
    from jmem.tui.app import JmemApp

_LEFT_OUT = frozenset(("app.palette",))
_FAR = 0.5
"""What an action of another place counts beside one of this place."""


class Palette(Once, CommandPalette):
    """Textual's, in our look."""

    DEFAULT_CSS = """
    Palette #--container { margin-top: 2; max-width: 90; }
    Palette #--input { border: none; background: $panel; height: 1; }
    Palette CommandInput, Palette CommandInput:focus { border: none; padding: 0 1; height: 1; }
    Palette SearchIcon { color: $accent; margin: 0 0 0 1; }
    Palette #--results { background: $surface; }
    Palette CommandList { border: none; background: $surface; padding: 0; scrollbar-size-vertical: 1; }
    Palette CommandList:focus { border: none; }
    """

    def on_mount(self) -> None:
        self.query_one(SearchIcon).icon = "›"
        self.query_one(Input).cursor_blink = False


class Commands(Provider):
    """The actions of what has the focus, of the place and of everywhere; then the themes."""

    async def discover(self) -> Hits:
        for action, node in self._here():
            yield DiscoveryHit(
                self._shown(action, Content(action.title)), _runner(action, node), action.title, action.help
            )

    async def search(self, query: str) -> Hits:
        here = list(self._here())
        for action, node in here:
            if (score := fits(query, action.title, action.help)) > 0:
                shown = self._shown(action, Content(action.title))
                yield Hit(score, shown, _runner(action, node), action.title, action.help)
        for theme in self._jmem.offered_themes():
            if (score := fits(query, name := f"Theme {theme}")) > 0:
                use = partial(self._jmem.use_theme, theme)
                yield Hit(score, name, use, name, "Show everything in these colours")
        for action, where in self._elsewhere({action.id for action, _ in here}):
            if (score := fits(query, action.title, action.help)) > 0:
                shown = Content.assemble(self._shown(action, Content(action.title)), f"  in {where}")
                go = partial(self._jmem.action_tab, action.scope)
                yield Hit(score * _FAR, shown, go, action.title, f"Go there. {action.help}")

    @property
    def _jmem(self) -> JmemApp:
        return cast("JmemApp", self.app)

    def _here(self) -> Iterator[tuple[Action, DOMNode]]:
        seen = set(_LEFT_OUT)
        for node in self._nodes():
            for binding in type(node).BINDINGS:
                id = binding.id if isinstance(binding, Binding) else None
                if id is not None and id in BY_ID and id not in seen:
                    seen.add(id)
                    yield BY_ID[id], node

    def _elsewhere(self, here: Set[str]) -> Iterator[tuple[Action, str]]:
        """The actions of the other places, each with the place; none from inside a dialog, which one leaves first."""
        if isinstance(self.screen, Place):
            for action in BY_ID.values():
                if action.scope in self._jmem.MODES and action.scope != self.screen.scope and action.id not in here:
                    yield action, SCOPES[action.scope]

    def _nodes(self) -> Iterator[DOMNode]:
        """From what has the focus outwards, then the rest of the screen."""
        focused = self.screen.focused
        yield from (
            node for node in (focused.ancestors_with_self if focused else [self.screen]) if node is not self.app
        )
        yield from self.screen.walk_children()
        yield self.app

    def _shown(self, action: Action, title: Content) -> Content:
        keys = shown_keys(self._jmem, action)
        return Content.assemble(title, "  ", (keys, "$accent not bold")) if keys else title


def fits(query: str, title: str, help: str = "") -> float:
    """How well a question names something, 0 to 1: by how its name's words begin, else by whole words of its help."""
    words, named = query.lower().split(), title.lower().split()
    if not words:
        return 0.0
    if title.lower().startswith(" ".join(words)):
        return 1.0 if len(named) == len(words) else 0.95
    if all(any(name.startswith(word) for name in named) for word in words):
        return 0.9
    said = {*named, *re.findall(r"[\w$]+", help.lower())}
    return 0.6 if all(word in said for word in words) else 0.0


def shown_keys(app: JmemApp, action: Action) -> str:
    """The keys of an action as a person reads them."""
    binding = action.binding()
    return " ".join(app.get_key_display(binding.with_key(key)) for key in keys_of(action, app.prefs.keys))


def _runner(action: Action, node: DOMNode) -> Callable[[], Coroutine[Any, Any, None]]:
    """What does it, past the check that keeps keys from what is being written."""

    async def run() -> None:
        _, name, params = parse(action.method)
        done = getattr(node, f"action_{name}")(*params)
        if isawaitable(done):
            await done

    return run
