"""Every key: of this place, of everywhere, then of the other places. What one types narrows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from jmem.tui import actions, shown
from jmem.tui.palette import fits, shown_keys
from jmem.tui.screens.base import Dialog
from jmem.tui.widgets.rows import Rows

if TYPE_CHECKING:
    from jmem.tui.app import JmemApp

LISTS: tuple[tuple[str, str, str], ...] = (
    ("↑ ↓  k j", "Move", "Through any list"),
    ("pgup pgdn", "Page", "A screen up or down"),
    ("home end  g G", "Ends", "To the first or the last"),
    ("tab shift+tab", "Pane", "To the next pane, or the one before"),
    ("esc", "Back", "Out of a dialog, one step back"),
)
"""Keys of every list: keys, title, help."""


@dataclass(frozen=True, slots=True)
class Key:
    """A line: a heading has no keys and no help."""

    keys: str
    title: str
    help: str = ""
    heading: bool = False


class _Keys(Rows[Key]):
    def passable(self, item: Key) -> bool:
        return not item.heading

    def key(self, item: Key) -> Any:
        return item.title, item.help

    def line(self, item: Key, number: int, width: int) -> Text:
        text = Text(no_wrap=True, end="")
        if item.heading:
            text.append(f" {item.title}", self.style("head"))
            return text
        text.append("  " + shown.fit(item.keys, 15 if width >= 60 else 10) + " ", self.style("accent"))
        text.append(shown.fit(item.title, 18 if width >= 60 else 14) + " ")
        text.append(shown.fit(item.help, max(width - text.cell_len - 1, 0)), self.style("dim"))
        return text


class Help(Dialog[None]):
    """`scopes` are those of the place where one was, the innermost first."""

    DEFAULT_CSS = """
    Help > .box { width: 96; height: 95%; border-title-color: $primary; padding: 0; }
    Help Input { border: none; height: 1; padding: 0 1; margin: 0 1; background: $panel; }
    Help _Keys { margin-top: 1; }
    Help #about { height: auto; min-height: 1; max-height: 2; padding: 0 1; color: $foreground 80%; }
    Help.-low #about { display: none; }
    Help.-low > .box { border: none; height: 100%; }
    Help.-low _Keys { margin-top: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", show=False), Binding("up", "move(-1)", show=False),
        Binding("pagedown", "page(1)", show=False), Binding("pageup", "page(-1)", show=False),
        Binding("f1", "dismiss_none", show=False),
    ]  # fmt: skip
    AUTO_FOCUS = "Input"

    def __init__(self, scopes: Sequence[str]) -> None:
        super().__init__()
        self._scopes = scopes

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "Keys"
            box.border_subtitle = "Esc"
            search = Input(placeholder="Type to find a key or an action", compact=True)
            search.cursor_blink = False
            yield search
            yield _Keys()
            yield Static("", id="about", markup=False)

    def on_mount(self) -> None:
        self._fill("")

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < 16, "-low")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._fill(event.value)

    def _fill(self, text: str) -> None:
        self.query_one(_Keys).show(lines(self.jmem, self._scopes, text), keep=False)

    @on(Rows.Moved)
    def _tell(self) -> None:
        """The whole of a line that may be cut."""
        key = self.query_one(_Keys).current
        self.query_one("#about", Static).update(key.help if key is not None and not key.heading else "")

    def action_move(self, step: int) -> None:
        """Through the list, from the search."""
        self.query_one(_Keys).action_move(step)

    def action_page(self, step: int) -> None:
        """A screen of the list."""
        self.query_one(_Keys).action_page(step)


def lines(app: JmemApp, scopes: Sequence[str], text: str = "") -> list[Key]:
    """What the help shows: the scopes of this place, everywhere, lists, then all others, as far as `text` is in it."""
    others = [scope for scope in actions.SCOPES if scope not in scopes and scope != "app"]
    words = text.lower().split()
    sections: list[tuple[float, str, list[Key]]] = []

    def named(key: Key) -> float:
        return fits(text, key.title)

    def section(title: str, keys: list[Key]) -> None:
        fitting = [key for key in keys if all(w in f"{key.keys} {key.title} {key.help} {title}".lower() for w in words)]
        if fitting:
            fitting.sort(key=lambda key: -named(key))
            sections.append((named(fitting[0]), title, fitting))

    def of(scope: str) -> list[Key]:
        return [Key(shown_keys(app, action), action.title, action.help) for action in actions.of(scope)]

    for scope in scopes:
        section(actions.SCOPES[scope], of(scope))
    section(actions.SCOPES["app"], of("app"))
    section("In every list", [Key(*line) for line in LISTS])
    for scope in others:
        section(actions.SCOPES[scope], of(scope))
    sections.sort(key=lambda section: -section[0])  # what is called so comes first, else the order stays
    found = [
        key for _, title, keys in sections for key in (Key("", title, heading=True), *keys, Key("", "", heading=True))
    ]
    return found[:-1]
