"""A question that is answered with a line of text."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from jmem.tui.screens.base import Dialog


class Line(Dialog[str | None]):
    """`dismiss`es with the text, or None. `check` answers what is wrong with a text, or nothing."""

    DEFAULT_CSS = """
    Line > .box { width: 70; border-title-color: $primary; padding: 1 2; }
    Line Input { background: $panel; border: none; height: 1; padding: 0 1; }
    Line .wrong { color: $error; height: auto; }
    Line .help { color: $foreground 70%; height: auto; margin-top: 1; }
    Line .keys { color: $foreground 60%; margin-top: 1; }
    """

    def __init__(
        self,
        title: str,
        value: str = "",
        *,
        help: str = "",
        placeholder: str = "",
        password: bool = False,
        check: Callable[[str], str] = lambda text: "",
    ) -> None:
        super().__init__()
        self._heading, self._value, self._about, self._placeholder = title, value, help, placeholder
        self._password, self._check = password, check

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(self._heading)
            line = Input(self._value, placeholder=self._placeholder, password=self._password, compact=True)
            line.cursor_blink = False
            yield line
            yield Static("", classes="wrong", markup=False)
            if self._about:
                yield Static(self._about, classes="help", markup=False)
            yield Static("Enter keeps it · Esc leaves it as it was", classes="keys", markup=False)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if event.value != self._value:
            self.query_one(".wrong", Static).update("")

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        self._value = event.value
        wrong = self._check(event.value)
        if wrong:
            self.query_one(".wrong", Static).update(wrong)
        else:
            self.dismiss(event.value)
