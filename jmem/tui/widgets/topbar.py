"""The first line: where one can go, whose memory this is, and how the daemon is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import events
from textual.reactive import reactive
from textual.widget import Widget

from jmem.tui import actions, shown

if TYPE_CHECKING:
    from jmem.tui.app import JmemApp

TABS: tuple[tuple[str, str], ...] = (
    ("memories", "Memories"), ("activity", "Activity"), ("review", "Review"), ("duplicates", "Duplicates"),
    ("status", "Status"), ("settings", "Settings"),
)  # fmt: skip


class TopBar(Widget):
    """`facts` are what the app knows: user, memories, review (how many wait), daemon ("live", "starting", "stopped")."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "topbar--tab", "topbar--here", "topbar--name", "topbar--good", "topbar--bad", "topbar--badge",
    }  # fmt: skip
    DEFAULT_CSS = """
    TopBar { height: 1; dock: top; background: $panel; color: $foreground; }
    TopBar > .topbar--name { color: $primary; text-style: bold; }
    TopBar > .topbar--tab { color: $dim; }
    TopBar > .topbar--here { color: $foreground; text-style: bold reverse; }
    TopBar > .topbar--badge { color: $warning; text-style: bold; }
    TopBar > .topbar--good { color: $success; }
    TopBar > .topbar--bad { color: $error; text-style: bold; }
    """
    here: reactive[str] = reactive("memories")
    facts: reactive[dict[str, Any]] = reactive(dict[str, Any])

    def __init__(self, here: str) -> None:
        super().__init__()
        self.set_reactive(TopBar.here, here)
        self._spans: list[tuple[int, int, str]] = []

    def render(self) -> Text:
        def style(name: str) -> Any:
            return self.get_component_rich_style(f"topbar--{name}", partial=True)

        width = self.size.width
        line = Text(" jmem " if width >= 84 else "", style=style("name"), no_wrap=True, end="")
        self._spans = []
        # a daemon that does not answer is worth more room than the keys
        numbered = width >= (76 if self.facts.get("daemon") == "live" else 88)
        for mode, title in TABS:
            start = line.cell_len
            key = self._key(mode) if numbered else ""
            line.append(f" {key} {title} " if key else f" {title} ", style("here" if mode == self.here else "tab"))
            waiting = self.facts.get("review", 0) if mode == "review" else 0
            if waiting:
                line.append(f"({waiting:,}) ", style("badge"))
            self._spans.append((start, line.cell_len, mode))
        right = self._right(style, width - line.cell_len - 1)
        line.append(" " * max(width - line.cell_len - right.cell_len - 1, 1))
        line.append_text(right)
        line.truncate(width)
        return line

    def _key(self, mode: str) -> str:
        """The first key that goes there; the person may have chosen another than ours."""
        app = cast("JmemApp", self.app)
        action = actions.BY_ID[f"app.{mode}"]
        keys = actions.keys_of(action, app.prefs.keys)
        return app.get_key_display(action.binding().with_key(keys[0])) if keys else ""

    def _right(self, style: Any, room: int) -> Text:
        """As much of user, count and daemon as there is room for."""
        daemon = self.facts.get("daemon", "starting")
        good = daemon == "live"
        count = self.facts.get("memories")
        parts = [(f"● {daemon}" if good else f"○ {daemon}", style("good" if good else "bad"))]
        if count is not None:
            parts.insert(0, (f"{count:,} memories", style("tab")))
        user = shown.one_line(str(self.facts.get("user", "")))
        if user not in ("", "default"):
            parts.insert(0, (user, style("name")))
        while len(parts) > 1 and sum(shown.cell_len(text) + 2 for text, _ in parts) > room:
            parts.pop(0)
        text = Text(end="", no_wrap=True)
        for at, (part, part_style) in enumerate(parts):
            text.append("  " if at else "")
            text.append(part, part_style)
        if text.cell_len > room:
            return Text("●" if good else "○", style=parts[-1][1], end="")
        return text

    def on_click(self, event: events.Click) -> None:
        for start, end, mode in self._spans:
            if start <= event.x < end:
                self.app.run_worker(self.app.run_action(f"app.tab('{mode}')"))
