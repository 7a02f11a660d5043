"""Asks for a key by having it pressed, and says what it does already."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from jmem.tui import keymap
from jmem.tui.actions import SCOPES, Action, keys_of
from jmem.tui.screens.base import Dialog


class KeyPress(Dialog[str | None]):
    """`dismiss`es with the key. One that runs something else there has to be confirmed with Enter."""

    DEFAULT_CSS = """
    KeyPress > .box { width: 66; padding: 1 2; border-title-color: $accent; }
    KeyPress Static { height: auto; }
    KeyPress .keys { color: $foreground 60%; margin-top: 1; }
    """

    def __init__(self, action: Action) -> None:
        super().__init__()
        self._action = action
        self._key = ""
        self._free = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(f"A key for “{self._action.title}”")
            yield Static("Press the key, alone or with ctrl, alt or shift.", id="said", markup=False)
            yield Static("Esc leaves it as it is", classes="keys", markup=False)

    def on_key(self, event: events.Key) -> None:
        """Every key comes here first."""
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.dismiss(None)
        elif self._key and event.key == "enter":
            if self._free:
                self.dismiss(self._key)
        else:
            self._take(event.key)

    def _take(self, key: str) -> None:
        keys = self.jmem.prefs.keys
        others = keymap.clashing(self._action, key, keys)
        if not others:
            self.dismiss(key)
            return
        self._key = key
        bare = [other for other in others if all(keymap.name_of(k) == key for k in keys_of(other, keys))]
        self._free = not bare
        shown = self.app.get_key_display(self._action.binding().with_key(key))
        names = ", ".join(f"“{other.title}” ({SCOPES[other.scope]})" for other in others)
        text = Text.assemble((f"{shown} ", "bold"), f"is the key of {names}.\n")
        if bare:
            text.append(
                f"“{bare[0].title}” ({SCOPES[bare[0].scope]}) has no other key: give it one first. Or press another key."
            )
        else:
            text.append("Enter takes it from there; or press another key.")
        self.query_one("#said", Static).update(text)
