"""The versions of one memory: what each changed, what it looked like, what took whose place; any of them comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from jmem.cli.text import age, local_time
from jmem.client import Client
from jmem.tui import diff, shown
from jmem.tui.feed import Changed
from jmem.tui.screens.page import Page
from jmem.tui.widgets.rows import Rows

NARROW, LOW = 100, 16
_AT_FIRST: Mapping[str, Any] = {"state": "active", "deleted": False, "privacy": "synced"}
_BESIDE = (
    "tags", "state", "deleted", "metadata", "occurred_at", "expires_at", "privacy", "source", "thread", "speaker", "supersedes",
)  # fmt: skip
_WORDS = {
    "add": "added", "edit": "edited", "tag": "tagged", "delete": "deleted", "restore": "brought back", "archive": "archived",
    "pause": "paused", "resume": "active again", "approve": "approved", "review": "waits", "privacy": "moved here",
    "purge": "forgotten", "blank": "nothing", "undo": "undone", "redo": "done again",
}  # fmt: skip
MODES = ("before", "now", "whole")
_MODES = {"before": "what it changed", "now": "against what it says now", "whole": "as it was"}


@dataclass(frozen=True, slots=True)
class Version:
    """A revision with all fields as they were after it."""

    revision: dict[str, Any]
    fields: Mapping[str, Any]
    newest: bool
    head: bool
    """one of several ends of a conflict"""


class Versions(Message):
    """The history of a memory, and the memory as it is."""

    def __init__(self, memory: dict[str, Any], history: dict[str, Any], chain: dict[str, Any]) -> None:
        super().__init__()
        self.memory, self.history, self.chain = memory, history, chain


class Restored(Message):
    """A version was brought back."""

    def __init__(self, rev: int) -> None:
        super().__init__()
        self.rev = rev


class VersionList(Rows[Version]):
    """Newest first, two lines each: what was done by whom and when, and how the text began."""

    LINES = 2

    def key(self, item: Version) -> Any:
        return item.revision["stamp"]

    def line(self, item: Version, number: int, width: int) -> Text:
        revision = item.revision
        text = Text(no_wrap=True, end="")
        if number:
            text.append("    ")
            said = item.fields.get("content")
            text.append(shown.fit("" if said is None else shown.headline({"content": said}), max(width - 5, 1)), self.style("dim"))  # fmt: skip
            return text
        text.append(f"{revision['rev']:>3} ", self.style("accent" if item.newest else "dim"))
        kind = revision["kind"]
        tone = {"delete": "bad", "purge": "bad", "add": "good", "restore": "good"}.get(kind, "name")
        text.append(_WORDS.get(kind, kind), self.style(tone))
        text.append(f" by {shown.one_line(revision['client']) or '?'}")
        if item.head:
            text.append("  conflict", self.style("warn"))
        elif item.newest:
            text.append("  current", self.style("accent"))
        when = age(revision["at"])
        room = max(width - len(when) - 2, 1)
        text.truncate(room, overflow="ellipsis")
        text.append(" " * (room - text.cell_len) + f" {when} ", self.style("dim"))
        return text


class HistoryPage(Page):
    """`memory` as the list has it; deleted ones have a history too."""

    scope = "history"
    DEFAULT_CSS = """
    HistoryPage .pane { border: round $panel; border-title-color: $foreground 70%; border-subtitle-color: $foreground 60%; }
    HistoryPage .pane:focus-within { border: round $primary; }
    HistoryPage #versions { width: 44; }
    HistoryPage #change { width: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    HistoryPage #change Static { height: auto; }
    HistoryPage.-narrow #panes { layout: vertical; }
    HistoryPage.-narrow #versions { width: 1fr; height: 2fr; }
    HistoryPage.-narrow #change { height: 3fr; }
    HistoryPage.-low .pane { border: none; }
    """
    AUTO_FOCUS = "VersionList"

    def __init__(self, memory: dict[str, Any]) -> None:
        super().__init__()
        self.memory = memory
        self.mode = "before"
        self._chain: dict[str, Any] = {"chain": [], "current": None}

    def content(self) -> ComposeResult:
        with Horizontal(id="panes"):
            with Vertical(id="versions", classes="pane"):
                yield VersionList()
            with VerticalScroll(id="change", classes="pane"):
                yield Static("", id="told", markup=False)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < NARROW, "-narrow")
        self.set_class(event.size.height < LOW, "-low")

    # ---- reading

    def reload(self) -> None:
        id = self.memory["id"]

        def read(daemon: Client) -> Versions:
            history, chain = daemon.history(id), daemon.chain(id)
            memory = next((one for one in chain["chain"] if one["id"] == id), self.memory)
            return Versions(memory, history, chain)

        self.fetch(read, lambda versions: versions, group="history", exclusive=True)

    def memory_changed(self, change: Changed) -> None:
        if change.id == self.memory["id"]:
            self.reload()

    @on(Versions)
    def _show(self, found: Versions) -> None:
        self.memory, self._chain = found.memory, found.chain
        versions = versions_of(found.history)
        pane = self.query_one("#versions")
        count = len(versions)
        pane.border_title = Content(f"{count:,} version{'' if count == 1 else 's'} of {self.memory['id'][-6:]}")
        linked = len(found.chain["chain"])
        about = [f"one of {linked:,} in a chain"] if linked > 1 else []
        if found.history.get("truncated"):
            about.insert(0, "older ones are left out")
        pane.border_subtitle = " · ".join(about)
        rows = self.query_one(VersionList)
        rows.show(versions, keep=rows.cursor > 0)  # on the newest one stays on the newest
        if not versions:
            self._draw()

    # ---- showing

    @on(Rows.Moved)
    def _moved(self) -> None:
        self._draw()
        self.query_one("#change", VerticalScroll).scroll_home(animate=False)

    def _draw(self) -> None:
        rows = self.query_one(VersionList)
        version, told = rows.current, self.query_one("#told", Static)
        pane = self.query_one("#change")
        if version is None:
            told.update("It has no versions: it was forgotten for ever.")
            return
        revision = version.revision
        pane.border_title = Content(f"Version {revision['rev']} · {_MODES[self.mode]}")
        pane.border_subtitle = Content(f"{local_time(revision['at'])} · {shown.one_line(revision['client'])}")
        colours = self.app.theme_variables
        if self.mode == "whole":
            told.update(_whole(version, colours))
            return
        before, after = self._compared(rows.items, version)
        told.update(_change(before, after, colours, same=version.newest and self.mode == "now"))

    def _compared(self, versions: Sequence[Version], version: Version) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        if self.mode == "now":
            return version.fields, versions[0].fields
        at = versions.index(version)
        return versions[at + 1].fields if at + 1 < len(versions) else _AT_FIRST, version.fields

    def action_compare(self) -> None:
        """What it changed, or how it differs from what the memory says now."""
        self.mode = "before" if self.mode == "now" else "now"
        self._draw()

    def action_whole(self) -> None:
        """All of it as it was."""
        self.mode = "before" if self.mode == "whole" else "whole"
        self._draw()

    # ---- doing

    def action_restore(self) -> None:
        """Bring the version back; undo takes that back."""
        version = self.query_one(VersionList).current
        if version is None:
            return
        if version.newest and not self.memory.get("deleted"):
            self.notify("That is what it says now", markup=False)
            return
        id, rev, now = self.memory["id"], int(version.revision["rev"]), version.newest
        self.fetch(lambda daemon: daemon.restore(id, None if now else rev), lambda _: Restored(rev), group="restore")

    @on(Restored)
    def _restored(self, restored: Restored) -> None:
        self.notify(f"Version {restored.rev} is back; undo takes that back", markup=False)
        self.query_one(VersionList).cursor = 0
        self.reload()

    def action_chain(self) -> None:
        """What it superseded and what superseded it."""
        from jmem.tui.screens.chain import ChainDialog

        if len(self._chain["chain"]) < 2:
            self.notify("It supersedes nothing, and nothing supersedes it", markup=False)
            return

        def chosen(memory: dict[str, Any] | None) -> None:
            if memory is not None and memory["id"] != self.memory["id"]:
                self.memory = memory
                self.query_one(VersionList).show([], keep=False)
                self.reload()

        self.app.push_screen(ChainDialog(self._chain, self.memory["id"]), chosen)


def versions_of(history: dict[str, Any]) -> list[Version]:
    """Newest first."""
    heads = set(history["heads"]) if len(history["heads"]) > 1 else set()
    fields: Mapping[str, Any] = _AT_FIRST
    found: list[Version] = []
    for number, revision in enumerate(history["revisions"], 1):
        fields = {**fields, **revision["set"], "content": revision["content"]}
        last = number == len(history["revisions"])
        found.append(Version(revision, fields, last, revision["stamp"] in heads))
    return found[::-1]


def _change(before: Mapping[str, Any], after: Mapping[str, Any], colours: Mapping[str, str], *, same: bool) -> Text:
    if same:
        return Text("It says this now.", "dim italic")
    text = diff.fields(before, after, _BESIDE, colours)
    if text:
        text.append("\n")
    old, new = before.get("content") or "", after.get("content") or ""
    if old == new:
        text.append("The text is the same:\n\n" if text else "Nothing differs:\n\n", "dim italic")
        text.append(shown.whole(new)[: diff.SHOWN])
    else:
        text.append_text(diff.inline(old, new, colours))
    return text


def _whole(version: Version, colours: Mapping[str, str]) -> Text:
    content = shown.whole(version.fields.get("content") or "")
    text = Text(content[: diff.SHOWN])
    if len(content) > diff.SHOWN:
        text.append(f"\n… {len(content) - diff.SHOWN:,} more characters", "dim italic")
    text.append("\n\n")
    for name in _BESIDE:
        value = version.fields.get(name)
        if not value or value == _AT_FIRST.get(name):
            continue
        text.append(f"{name:<12}", "dim")
        words = " ".join(f"#{tag}" for tag in value) if name == "tags" else str(value)
        text.append(shown.one_line(words) + "\n", colours["success"] if name == "tags" else "")
    return text
