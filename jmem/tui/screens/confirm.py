"""A question with a few answers, each with a key, and those that several places ask; and a sheet to read, such as the
receipt of what was forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from jmem.tui.screens.base import Dialog


@dataclass(frozen=True, slots=True)
class Answer:
    """One that can be given: the `value` of the dialog, its key, and what the button says."""

    value: str
    key: str
    title: str
    dangerous: bool = False


class Pick(Static, can_focus=True):
    """An answer on the screen: Enter, a click or its key gives it."""

    DEFAULT_CSS = """
    Pick { width: auto; height: 1; margin-right: 2; padding: 0 1; background: $panel; color: $foreground; }
    Pick:focus { background: $primary; color: $background; text-style: bold; }
    Pick.-dangerous:focus { background: $error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "give", show=False)]

    class Given(Message):
        """It was chosen."""

        def __init__(self, value: str) -> None:
            super().__init__()
            self.value = value

    def __init__(self, answer: Answer) -> None:
        label = Content.assemble((answer.key, "bold underline"), "  ", answer.title)
        super().__init__(label, classes="-dangerous" if answer.dangerous else "-safe")
        self._value = answer.value

    def action_give(self) -> None:
        """This one."""
        self.post_message(self.Given(self._value))

    def on_click(self) -> None:
        self.action_give()


class Choice(Dialog[str | None]):
    """Asks. Enter gives the answer that has the focus, at the start the first one that is not dangerous; Esc gives None."""

    DEFAULT_CSS = """
    Choice > .box { padding: 1 2 0 2; }
    Choice.-danger > .box { border: round $error; border-title-color: $error; }
    Choice .body { height: auto; max-height: 1fr; scrollbar-size-vertical: 1; margin-bottom: 1; }
    Choice .body Static { height: auto; }
    Choice .answers { height: 1; width: 100%; margin-bottom: 1; }
    Choice.-low > .box { border: none; padding: 0 1; height: 100%; }
    Choice.-low .body { height: 1fr; margin-bottom: 0; }
    Choice.-low .answers { margin-bottom: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,up", "app.focus_previous", show=False), Binding("right,down", "app.focus_next", show=False),
    ]  # fmt: skip

    AUTO_FOCUS = "Pick.-safe"

    def __init__(self, title: str, body: Text | str, answers: Sequence[Answer], *, danger: bool = False) -> None:
        super().__init__()
        if isinstance(body, Text):
            body.rstrip()
        self._title, self._body, self._answers = title, body, answers
        self.set_class(danger, "-danger")

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(self._title)
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(self._body, markup=False)
            with Horizontal(classes="answers"):
                for answer in self._answers:
                    yield Pick(answer)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < 12, "-low")

    def on_key(self, event: events.Key) -> None:
        """An answer's own key; others move through a long body."""
        for answer in self._answers:
            if event.key == answer.key or event.character == answer.key:
                event.stop()
                self.dismiss(answer.value)
                return
        if event.key in ("pagedown", "pageup"):
            body = self.query_one(".body", VerticalScroll)
            body.scroll_page_down(animate=False) if event.key == "pagedown" else body.scroll_page_up(animate=False)

    @on(Pick.Given)
    def _given(self, given: Pick.Given) -> None:
        self.dismiss(given.value)


def leave_unsaved(dialog: Dialog[Any], save: Callable[[], None], without: Any = None) -> None:
    """Ask before what was written in a dialog is left: save it, leave `without` it, or go on."""
    answers = (
        Answer("", "e", "go on editing"),
        Answer("save", "s", "save"),
        Answer("drop", "d", "throw away", dangerous=True),
    )

    def decided(answer: str | None) -> None:
        if answer == "save":
            save()
        elif answer == "drop":
            dialog.dismiss(without)

    dialog.app.push_screen(Choice("Not saved yet", "What you wrote is not saved.", answers), decided)


def secret(body: str) -> Choice:
    """Asks what to do about a text that carries what looks like a secret: "mask", "allow", or to go on."""
    answers = (
        Answer("mask", "m", "save it masked"),
        Answer("allow", "k", "keep it as it is", dangerous=True),
        Answer("", "e", "go on editing"),
    )
    return Choice("A secret?", body, answers)


class Sheet(Dialog[None]):
    """Something to read; any of Esc, Enter and q closes it."""

    DEFAULT_CSS = """
    Sheet > .box { padding: 1 2; }
    Sheet .body { height: auto; max-height: 1fr; scrollbar-size-vertical: 1; }
    Sheet .body Static { height: auto; }
    Sheet .close { height: 1; color: $foreground 60%; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,q", "dismiss_none", show=False)]

    def __init__(self, title: str, body: Text) -> None:
        super().__init__()
        self._title, self._body = title, body

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(self._title)
            with VerticalScroll(classes="body"):
                yield Static(self._body, markup=False)
            yield Static("Enter closes", classes="close")
