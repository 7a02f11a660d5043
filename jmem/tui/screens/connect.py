"""Connect a program: which are on this machine, what `jmem connect` would write, and addresses for any other."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from jmem.cli.text import wrap
from jmem.client import Client
from jmem.core.errors import Invalid, JmemError, from_problem
from jmem.core.model import check_client
from jmem.tui import shown
from jmem.tui.screens.base import Dialog, say
from jmem.tui.widgets.rows import Rows

OTHER = "another program…"
SECONDS = 90.0


@dataclass(frozen=True)
class Known:
    """A program that jmem knows, or OTHER. `state`: connected, installed, not found, broken."""

    name: str
    title: str = ""
    state: str = ""


@dataclass(frozen=True)
class Plan:
    """What connecting would do: the diff of settings, and the addresses; or what is wrong."""

    name: str
    known: bool
    diff: str = ""
    addresses: dict[str, Any] = field(default_factory=dict)
    error: JmemError | None = None


class Listed(Message):
    """The programs."""

    def __init__(self, found: list[Known]) -> None:
        super().__init__()
        self.found = found


class Planned(Message):
    """What connecting one would do."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan


class Connected(Message):
    """It was done, or not."""

    def __init__(self, name: str, report: dict[str, Any] | None, error: JmemError | None = None) -> None:
        super().__init__()
        self.client, self.report, self.error = name, report, error


class _List(Rows[Known]):
    def key(self, item: Known) -> Any:
        return item.name

    def line(self, item: Known, number: int, width: int) -> Text:
        text = Text(no_wrap=True, end="")
        good = item.state == "connected"
        text.append(" ● " if good else "   ", self.style("good"))
        text.append(shown.fit(item.title or item.name, 18), "" if item.state != "not found" else self.style("dim"))
        text.append(f" {item.state}", self.style("good" if good else "bad" if item.state == "broken" else "dim"))
        return text


class Connect(Dialog[None]):
    """A list and what stands in the settings; Enter writes it."""

    DEFAULT_CSS = """
    Connect > .box { width: 110; height: 90%; border-title-color: $primary; }
    Connect _List { width: 32; height: 1fr; }
    Connect VerticalScroll { width: 1fr; padding: 0 1 0 2; scrollbar-size-vertical: 1; }
    Connect .keys { height: 1; color: $foreground 60%; }
    Connect.-narrow Horizontal { layout: vertical; }
    Connect.-narrow _List { width: 1fr; height: 6; }
    Connect.-narrow VerticalScroll { height: 1fr; padding: 1 1 0 1; }
    Connect.-low > .box { border: none; height: 100%; }
    Connect.-low _List { height: 3; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("enter", "connect", "Connect"),
        ("y", "copy('http')", "Copy the address"),
        ("c", "copy('command')", "Copy the command"),
    ]
    AUTO_FOCUS = "_List"

    def __init__(self, start: str = "") -> None:
        """`start` names the program to stand at."""
        super().__init__()
        self._start = start
        self._plan: Plan | None = None
        self._other = ""
        self._busy = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "Connect a program"
            with Horizontal():
                yield _List()
                with VerticalScroll():
                    yield Static("", id="plan", markup=False)
            yield Static("", classes="keys", markup=False)

    def on_mount(self) -> None:
        self.begin(self._list, group="list")

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < 90, "-narrow")
        self.set_class(event.size.height < 16, "-low")
        self._draw()

    @property
    def user(self) -> str:
        """Whose memory it is."""
        return str(self.jmem.facts["user"])

    async def _list(self) -> None:
        user = self.user
        try:
            clients = (await self.remote(lambda daemon: _jmem(daemon, user, "connect")))["clients"]
        except JmemError as error:
            self.post_message(Connected("", None, error))
        else:
            self.post_message(Listed([*map(_known, clients), Known(OTHER)]))

    @on(Listed)
    def _listed(self, listed: Listed) -> None:
        programs = self.query_one(_List)
        programs.show(listed.found)
        if self._start in (names := [one.name for one in listed.found]):
            programs.cursor = names.index(self._start)
            self._start = ""

    @on(Rows.Moved)
    def _moved(self) -> None:
        item = self.query_one(_List).current
        if item is not None:
            name = self._other if item.name == OTHER else item.name
            self._plan = None
            self._draw()
            if name:
                self.begin(partial(self._look, name, item.name != OTHER), group="plan", exclusive=True)

    async def _look(self, name: str, known: bool) -> None:
        user = self.user
        try:
            self.post_message(Planned(await self.remote(lambda daemon: _plan(daemon, user, name, known))))
        except JmemError as error:
            self.post_message(Planned(Plan(name, known, error=error)))

    @on(Planned)
    def _planned(self, planned: Planned) -> None:
        self._plan = planned.plan
        self._draw()

    def _draw(self) -> None:
        width = max(self.query_one(VerticalScroll).content_size.width - 1, 20)
        item, plan = self.query_one(_List).current, self._plan
        keys = "Esc leaves"
        if item is not None and item.name == OTHER:
            does = "names another one" if self._other else "names it and makes its addresses"
            keys = f"Enter {does} · {keys}"
        elif self._ready(item):
            keys = "Enter writes this into its settings · " + keys
        elif item is not None and plan is not None and plan.diff:
            keys = f"It does not seem to be installed (jmem connect {item.name} --force) · " + keys
        if plan is not None and plan.addresses.get("http"):
            keys = "y copies http, c the command · " + keys
        self.query_one(".keys", Static).update(keys)
        body = Text("Looking…", "dim") if plan is None else _plan_text(plan, self.app.theme_variables, width)
        if item is not None and item.name == OTHER and not self._other:
            body = Text("Any program that speaks MCP: give it a name of its own, and it gets addresses of its own.")
        self.query_one("#plan", Static).update(body)

    async def action_connect(self) -> None:
        """Do it, or ask for the name first."""
        item = self.query_one(_List).current
        if item is None or self._busy:
            return
        if item.name == OTHER:
            from jmem.tui.screens.ask import Line

            await self.app.push_screen(
                Line("Name of the program", placeholder="my-agent", check=_wrong_name,
                     help="It stands beside everything that the program writes."),
                self._named,
            )  # fmt: skip
        elif self._ready(item):
            self._busy = True
            self.begin(partial(self._do, item.name), group="do")

    def action_copy(self, which: str) -> None:
        """An address to the clipboard, in one piece: on the screen a line may break it."""
        if self._plan is None or not self._plan.addresses.get("http"):
            return
        self.app.copy_to_clipboard(_address(self._plan, which))
        told = "The command is copied" if which == "command" else "The address is copied; it holds the program's key"
        self.notify(told, markup=False)

    def _ready(self, item: Known | None) -> bool:
        """Whether Enter would write something."""
        return bool(item and self._plan and self._plan.diff and item.state not in ("not found", "broken"))

    def _named(self, name: str | None) -> None:
        if name:
            self._other = name
            self._moved()

    async def _do(self, name: str) -> None:
        user = self.user
        try:
            report = await self.remote(lambda daemon: _jmem(daemon, user, "connect", name, "--yes"))
        except JmemError as error:
            self.post_message(Connected(name, None, error))
        else:
            self.post_message(Connected(name, report))

    @on(Connected)
    def _connected(self, done: Connected) -> None:
        self._busy = False
        if done.error is not None:
            say(self, done.error)
        elif done.report is not None:
            self.app.notify(f"{done.client} is connected. {done.report.get('reload', '')}.", markup=False, timeout=8)
            self.begin(self._list, group="list")


def _known(client: dict[str, Any]) -> Known:
    state = "connected" if client["connected"] else "installed" if client["installed"] else "not found"
    return Known(client["name"], client["title"], "broken" if client["problem"] else state)


def _plan(daemon: Client, user: str, name: str, known: bool) -> Plan:
    """What `jmem connect` would write; for a program that jmem does not know, addresses that are made now."""
    if not known:
        return Plan(name, False, addresses=_jmem(daemon, user, "connect", name, "--print"))
    report = _jmem(daemon, user, "connect", name, "--dry-run", "--force")
    return Plan(name, True, "\n".join(file["diff"] for file in report["files"] if file["changed"]))


def _plan_text(plan: Plan, colours: dict[str, str], width: int) -> Text:
    text = Text()
    if plan.error is not None:
        return Text(f"{plan.error.message}\n{plan.error.fix or ''}", colours["error"])
    if not plan.known:
        for name in ("command", "http", "sse"):
            text.append(f"{name}\n", f"bold {colours['secondary']}")
            for line in wrap(shown.one_line(_address(plan, name)), width):
                text.append(line + "\n")
            text.append("\n")
        text.append("The key in an address is its own; whoever has it is this program.", "dim")
        return text
    text.append(f"jmem connect {plan.name}\n", f"bold {colours['accent']}")
    if not plan.diff:
        text.append("\nIt is connected; nothing would change.", colours["success"])
        return text
    text.append("would change its settings; a backup is kept beside the file.\n\n", "dim")
    for line in plan.diff.splitlines():
        style = {"+": colours["success"], "-": colours["error"], "@": colours["secondary"]}.get(line[:1], "dim")
        text.append(shown.one_line(line) + "\n", style)
    return text


def _address(plan: Plan, which: str) -> str:
    """`http` and `sse` are URLs; `command` is a line for a shell."""
    if which != "command":
        return str(plan.addresses[which])
    return shlex.join([plan.addresses["stdio"]["command"], *plan.addresses["stdio"]["args"]])


def _jmem(daemon: Client, user: str, *words: str) -> dict[str, Any]:
    """What a command of jmem prints; raises the JmemError that it ended with."""
    command = [sys.executable, "-P", "-m", "jmem", *words, "--user", user, "--json"]
    try:
        done = subprocess.run(
            command, env={**os.environ, "JMEM_HOME": daemon.home}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, encoding="utf-8", errors="replace", timeout=SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JmemError(f"jmem {' '.join(words)}: {error}") from None
    try:
        document = json.loads(done.stdout if done.returncode == 0 else done.stderr or done.stdout)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise JmemError(f"jmem {' '.join(words)}: {(done.stderr or done.stdout).strip()[:300]}")
    if done.returncode:
        raise from_problem(document)
    return document


def _wrong_name(text: str) -> str:
    try:
        check_client(text)
    except Invalid as error:
        return error.message
    return ""
