"""The first thing that one sees: what this is, a line for the first memory, and the programs that can be given it."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from jmem.core.errors import JmemError, SecretFound
from jmem.tui import shown
from jmem.tui.screens.base import Dialog
from jmem.tui.widgets.keybar import KeyBar
from jmem.tui.widgets.writing import WriteLine

ABOUT = (
    "One memory for every assistant that you use. It is kept on this machine,\n"
    "in one place. You see all of it and what each program asks, change what\n"
    "is wrong, and take back what should not be there."
)


class Listed(Message):
    """The programs, by name, title and how they stand."""

    def __init__(self, programs: list[tuple[str, str, str]]) -> None:
        super().__init__()
        self.programs = programs


class Added(Message):
    """The first memory is there, or why not."""

    def __init__(self, memory: dict[str, Any] | None, error: JmemError | None = None) -> None:
        super().__init__()
        self.memory, self.error = memory, error


class Welcome(Dialog[None]):
    """Esc leaves it at any step; nothing of it has to be done."""

    DEFAULT_CSS = """
    Welcome > .box { width: 80; padding: 1 2; border-title-color: $primary; border-title-style: bold; }
    Welcome .step { height: 1; margin-top: 1; color: $secondary; text-style: bold; }
    Welcome Static { height: auto; }
    Welcome #first { background: $panel; }
    Welcome #said { color: $success; height: 1; }
    Welcome #said.-bad { color: $error; height: auto; }
    Welcome OptionList { height: 9; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1; }
    Welcome OptionList:focus { border: none; }
    Welcome OptionList:blur > .option-list--option-highlighted { background: transparent; color: $foreground; text-style: none; }
    Welcome .keys { height: 1; margin-top: 1; color: $foreground 60%; }
    Welcome.-low > .box { padding: 0 1; }
    Welcome.-low .step, Welcome.-low .keys { margin-top: 0; }
    Welcome.-tiny #about, Welcome.-tiny .step, Welcome.-tiny #said { display: none; }
    Welcome.-tiny #said.-told { display: block; }
    Welcome.-tiny > .box { border: none; padding: 0; }
    Welcome.-tiny OptionList { height: 2; }
    """
    AUTO_FOCUS = "#first"

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "Welcome to jmem"
            yield Static(ABOUT, id="about", markup=False)
            yield Static("1  Remember something", classes="step")
            yield WriteLine(id="first", placeholder="I prefer aisle seats on long flights")
            yield Static("", id="said", markup=False)
            yield Static("2  Give it to your programs", classes="step")
            yield OptionList(id="programs")
            yield Static("", classes="keys", markup=False)
        yield KeyBar()  # over that of the place behind, whose keys do nothing here

    def on_mount(self) -> None:
        self._fit(self.app.size)  # before the first drawing: nothing is to jump when the size is told
        self._list()

    def on_resize(self, event: events.Resize) -> None:
        self._fit(event.size)

    def _fit(self, size: Size) -> None:
        self.set_class(size.height < 26, "-low")
        self.set_class(size.height < 14, "-tiny")
        for about in self.query("#about").results(Static):  # none where the interface is left as this opens
            about.update(ABOUT if size.width > 80 else ABOUT.replace("\n", " "))

    def on_screen_resume(self) -> None:
        self._list()

    def on_descendant_focus(self) -> None:
        writing = self.focused is not None and self.focused.id == "first"
        say = "Enter remembers it · Tab goes on" if writing else "Enter shows what would be written, and asks"
        self.query_one(".keys", Static).update(f"{say} · Esc leaves")

    def _list(self) -> None:
        user = str(self.jmem.facts["user"])
        self.begin(partial(self._look, user), group="programs", exclusive=True)

    async def _look(self, user: str) -> None:
        try:
            self.post_message(Listed(await self.remote(lambda daemon: _programs(user))))
        except JmemError:
            self.post_message(Listed([]))

    @on(Listed)
    def _listed(self, listed: Listed) -> None:
        programs, colours = self.query_one(OptionList), self.app.theme_variables
        here = programs.highlighted
        programs.clear_options()
        order = {"connected": 0, "installed": 1}
        for name, title, state in sorted(listed.programs, key=lambda one: order.get(one[2], 2)):
            line = Text(no_wrap=True, end="")
            connected = state == "connected"
            line.append("● " if connected else "  ", colours["success"])
            line.append(shown.fit(title, 26), "" if state in order else "dim")
            line.append(state, colours["success"] if connected else "dim")
            programs.add_option(Option(line, id=name))
        programs.add_option(Option(Text("  any other program", "dim"), id=""))
        programs.highlighted = here or 0

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        from jmem.tui.screens.connect import OTHER, Connect

        event.stop()
        self.app.push_screen(Connect(event.option.id or OTHER))

    @on(Input.Submitted, "#first")
    def _first(self) -> None:
        text = self.query_one(WriteLine).content
        if text:
            self.begin(partial(self._add, text), group="add", exclusive=True)
        else:
            self.query_one(OptionList).focus()

    async def _add(self, text: str) -> None:
        try:
            self.post_message(Added(await self.remote(lambda daemon: daemon.add({"content": text}))))
        except JmemError as error:
            self.post_message(Added(None, error))

    @on(Added)
    def _added(self, added: Added) -> None:
        line, said = self.query_one(WriteLine), self.query_one("#said", Static)
        said.set_class(added.error is not None, "-bad")
        said.add_class("-told")
        if added.error is None and added.memory is not None:
            said.update(f"✓ remembered: {shown.fit(shown.headline(added.memory), 56).rstrip()}")
            line.value = ""
            line.placeholder = "Something else, or Tab to go on"
            return
        error = added.error
        if isinstance(error, SecretFound):
            said.update(f"{error.message}\nLeave it out here; in the list, a asks whether to mask or to keep it.")
        elif error is not None:
            said.update(f"{error.message}\n{error.fix or ''}".strip())


def _programs(user: str) -> list[tuple[str, str, str]]:
    from jmem.cli.connect import here
    from jmem.cli.connect.status import every_state

    return [
        (one.client.name, one.client.title, "connected" if one.form else "installed" if one.installed else "not found")
        for one in every_state(here.machine(os.environ), user)
    ]
