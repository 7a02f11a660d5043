"""The tags of one memory, or of all marked ones: type to find or make one, Enter puts it on or takes it off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from jmem.core.model import MAX_TAG_CHARS
from jmem.tui import actions, shown
from jmem.tui.screens import confirm
from jmem.tui.screens.base import Dialog
from jmem.tui.tended import named
from jmem.tui.widgets.keybar import KeyBar
from jmem.tui.widgets.writing import WriteLine

MOST = 300
"""Tags that are listed at once."""


class TagLine(WriteLine):
    """Where one types; the keys of the dialog hold here too."""

    BINDINGS: ClassVar[list[BindingType]] = [*actions.bindings("tags")]

    def action_switch(self) -> None:
        """Put on or take off."""
        self.screen.query_one(OptionList).action_select()

    def action_move(self, step: int) -> None:
        """In the list, from here."""
        tags = self.screen.query_one(OptionList)
        tags.action_cursor_down() if step > 0 else tags.action_cursor_up()

    async def _on_key(self, event: events.Key) -> None:
        """Space too puts a tag on or takes it off, while nothing is typed."""
        if event.key == "space" and not self.value:
            event.stop()
            event.prevent_default()
            self.action_switch()

    def action_leave(self) -> None:
        """Without a change; asks where there is one."""
        screen = self.screen
        assert isinstance(screen, Tagger)
        screen.action_leave()

    def action_save(self) -> None:
        """Done."""
        screen = self.screen
        assert isinstance(screen, Tagger)
        screen.action_save()


def signed(text: str) -> dict[str, bool]:
    """`+new -old` as on the command line: which tags to put on, and which to take off. Nothing where a word has no sign."""
    words = [(word[0] == "+", word[1:].removeprefix("#")) for word in text.split() if word[0] in "+-"]
    return {tag: on for on, tag in words} if len(words) == len(text.split()) and all(tag for _, tag in words) else {}


class Tagger(Dialog[tuple[list[str], list[str]] | None]):
    """Gives the tags to add and those to take away."""

    DEFAULT_CSS = """
    Tagger > .box { width: 60; height: 22; max-height: 100%; padding: 0; }
    Tagger TagLine { margin: 0 0 1 0; background: $background; }
    Tagger OptionList { height: 1fr; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1; }
    Tagger.-low > .box { border: none; }
    Tagger.-low TagLine { margin: 0; }
    """

    def __init__(self, memories: Sequence[Mapping[str, Any]], known: Sequence[tuple[str, int]]) -> None:
        super().__init__()
        self._count = len(memories)
        self._name = named(memories[0]) if self._count == 1 else f"{self._count:,} memories"
        self._had: dict[str, int] = {}
        for memory in memories:
            for tag in memory["tags"]:
                self._had[tag] = self._had.get(tag, 0) + 1
        self._known = dict.fromkeys([*sorted(self._had), *(tag for tag, _ in known)])
        self._uses = dict(known)
        self._set: dict[str, bool] = {}

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(f"Tags of {self._name}")
            yield TagLine(id="find", placeholder="Type to find or make a tag")
            yield OptionList(id="tags")
        yield KeyBar()

    def on_mount(self) -> None:
        self._list("")

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < 12, "-low")
        self.call_after_refresh(self._list, self.query_one(TagLine).content)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._list(self.query_one(TagLine).content)

    def _list(self, typed: str) -> None:
        """The tags that fit what is typed, those that begin with it first; and it as a new one."""
        if self._signed(typed):
            self._offer(typed)
            return
        sought = typed.removeprefix("#").strip()
        low = sought.lower()
        fitting = [tag for tag in self._known if low in tag.lower()]
        fitting.sort(key=lambda tag: (not tag.lower().startswith(low)) if low else 0)
        tags = self.query_one(OptionList)
        here = tags.highlighted_option.id if tags.highlighted_option and not low else None
        tags.clear_options()
        options = [self._option(tag) for tag in fitting[:MOST]]
        if sought and sought not in self._known and len(sought) <= MAX_TAG_CHARS:
            new = Text("+ make ", "bold") + Text(f"#{shown.one_line(sought)}", self.app.theme_variables["success"])
            options.append(Option(new, id=sought))
        tags.add_options(options)
        tags.highlighted = next((n for n, option in enumerate(options) if option.id == here), 0) if options else None
        self._say()

    def _signed(self, typed: str) -> dict[str, bool]:
        return {} if typed in self._known else signed(typed)

    def _offer(self, typed: str) -> None:
        """Several at once, each with its sign."""
        colours, line = self.app.theme_variables, Text()
        for tag, wanted in self._signed(typed).items():
            line.append(f"{'+' if wanted else '-'}#{shown.one_line(tag)} ", colours["success" if wanted else "error"])
        tags = self.query_one(OptionList)
        tags.clear_options()
        tags.add_option(Option(line, id=typed))
        tags.highlighted = 0
        self._say()

    def _option(self, tag: str) -> Option:
        state, colours = self._state(tag), self.app.theme_variables
        changed = tag in self._set
        line = Text(no_wrap=True, end="")
        line.append({"all": "● ", "some": "○ ", "none": "  "}[state], f"bold {colours['primary']}")
        width = max(self.query_one(OptionList).content_size.width, 16)
        note = f"{self._had[tag]:,} of {self._count:,}" if state == "some" else ""
        note = ("added" if self._set[tag] else "taken off") if changed else note or f"{self._uses.get(tag, 0):,}"
        style = (colours["success"] if self._set[tag] else colours["error"]) if changed else "dim"
        line.append(shown.fit(f"#{shown.one_line(tag)}", width - len(note) - 5), "bold" if state == "all" else "")
        line.append(f" {note}", style)
        return Option(line, id=tag)

    def _state(self, tag: str) -> str:
        if tag in self._set:
            return "all" if self._set[tag] else "none"
        had = self._had.get(tag, 0)
        return "none" if not had else "all" if had == self._count else "some"

    @on(OptionList.OptionSelected)
    def _toggle(self, event: OptionList.OptionSelected) -> None:
        """On for all, off for all, and what it was."""
        event.stop()
        tag = event.option.id
        if tag is None:
            return
        line = self.query_one(TagLine)
        if asked := self._signed(line.content):
            self._put(asked)
            line.value = ""
            return
        self._known.setdefault(tag)
        had = self._had.get(tag, 0)
        if tag not in self._set:
            self._set[tag] = had < self._count
        elif self._set[tag] and 0 < had < self._count:
            self._set[tag] = False
        else:
            del self._set[tag]
        if line.value:
            line.value = ""  # which lists again
            self.call_after_refresh(self._go_to, tag)
        else:
            self._list("")
        line.focus()

    def _put(self, asked: Mapping[str, bool]) -> None:
        """What is so already is no change."""
        for tag, wanted in asked.items():
            self._known.setdefault(tag)
            if self._had.get(tag, 0) == (self._count if wanted else 0):
                self._set.pop(tag, None)
            else:
                self._set[tag] = wanted

    def _go_to(self, tag: str) -> None:
        tags = self.query_one(OptionList)
        at = next((n for n, option in enumerate(tags.options) if option.id == tag), None)
        if at is not None:
            tags.highlighted = at

    def _say(self) -> None:
        add, remove = self._changes()
        parts = [f"+{len(add)}"] * bool(add) + [f"-{len(remove)}"] * bool(remove)
        self.query_one(".box").border_subtitle = Content(" ".join(parts) + " not saved yet" if parts else "")

    def _changes(self) -> tuple[list[str], list[str]]:
        return [tag for tag, on in self._set.items() if on], [tag for tag, on in self._set.items() if not on]

    def action_save(self) -> None:
        """Done; a tag that is typed and not put on yet is meant too."""
        typed = self.query_one(TagLine).content
        if asked := self._signed(typed):
            self._put(asked)
        elif typed and not self._set:
            self._put({typed.removeprefix("#").strip(): True})
        self.dismiss(self._changes() if self._set else None)

    def action_leave(self) -> None:
        """Without a change; asks where there is one."""
        if not self._set:
            self.dismiss(None)
            return
        confirm.leave_unsaved(self, self.action_save)

    action_dismiss_none = action_leave
