"""How everything is: daemon, index, embedder, store, backups, sync, and the end of the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from jmem.cli.render import ago
from jmem.cli.text import local_time
from jmem.client import Client
from jmem.core.errors import JmemError
from jmem.tui import shown
from jmem.tui.feed import Accessed, Changed
from jmem.tui.screens.base import Place
from jmem.tui.state import State, amount, facts_text, read
from jmem.tui.widgets.fitted import Fitted
from jmem.tui.widgets.log import Log
from jmem.tui.widgets.rows import Rows

BUSY_S, IDLE_S = 2.0, 15.0
"""Between two readings while this is on the screen: while the index is being built, and else."""
NARROW, LOW = 100, 18
NO_BACKUP = "There is no backup yet; b makes one."
UNKNOWN = "Only the daemon knows the backups; s starts it."


class Read(Message):
    """What was read."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state


class Did(Message):
    """Something was done, to be told."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Backups(Rows[dict[str, Any]]):
    """One line each, the newest first."""

    def key(self, item: dict[str, Any]) -> Any:
        return item["path"]

    def line(self, item: dict[str, Any], number: int, width: int) -> Text:
        text = Text(no_wrap=True, end="")
        text.append(f" {local_time(item['created_at'])}  ")
        text.append(shown.fit(item["kind"], 9) + " ", self.style("name" if item["kind"] == "manual" else "dim"))
        text.append(f"{item['memories']:,}".rjust(9) + (" memories" if width >= 58 else " "))
        text.append(amount(item["bytes"]).rjust(8) + " ", self.style("dim"))
        return text


class StatusPlace(Place):
    """Facts, backups and log."""

    scope = "status"
    DEFAULT_CSS = """
    StatusPlace .pane { border: round $panel; border-title-color: $foreground 70%; border-subtitle-color: $foreground 60%; }
    StatusPlace .pane:focus-within { border: round $primary; }
    StatusPlace #above { height: 14; max-height: 60%; }
    StatusPlace #facts { width: 3fr; height: 100%; min-height: 12; }
    StatusPlace #backing { width: 2fr; height: 100%; min-height: 12; }
    StatusPlace #logging { height: 1fr; }
    StatusPlace .none { padding: 0 1; color: $foreground 70%; display: none; }
    StatusPlace.-unbacked .none { display: block; }
    StatusPlace.-unbacked Backups { display: none; }
    StatusPlace.-narrow #above { layout: vertical; height: 18; max-height: 82%; }
    StatusPlace.-narrow #facts { width: 1fr; height: 1fr; min-height: 3; }
    StatusPlace.-narrow #backing { width: 1fr; height: 4; min-height: 3; }
    StatusPlace.-low .pane { border: none; }
    StatusPlace.-low #logging { display: none; }
    StatusPlace.-low #above { height: 1fr; max-height: 100%; }
    StatusPlace.-low #backing { height: 2; min-height: 1; }
    """
    AUTO_FOCUS = "Backups"

    def __init__(self) -> None:
        super().__init__()
        # held, not looked for: what happens while the screen is taken down still finds them
        self._facts, self._backups, self._log = Fitted(id="facts", classes="pane"), Backups(), Log()
        self._none = Static("", classes="none", markup=False)
        self._state: State | None = None
        self._next: Timer | None = None
        self._doing = ""

    def content(self) -> ComposeResult:
        with Horizontal(id="above"):
            self._facts.border_title = "How it is"
            yield self._facts
            with Vertical(id="backing", classes="pane") as backing:
                backing.border_title = "Backups"
                yield self._backups
                yield self._none
        with Vertical(id="logging", classes="pane") as logging:
            logging.border_title = "Log"
            yield self._log

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < NARROW, "-narrow")
        self.set_class(event.size.height < LOW, "-low")

    # ---- reading, only while this is on the screen

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.reload()

    def on_screen_suspend(self) -> None:
        if self._next is not None:
            self._next.stop()
            self._next = None

    def reload(self) -> None:
        self.fetch(read, Read, group="read", exclusive=True)

    def memory_changed(self, change: Changed) -> None:
        self._soon(BUSY_S)

    def accessed(self, access: Accessed) -> None:
        self._soon(BUSY_S)

    def show_facts(self) -> None:
        """The daemon came or went."""
        super().show_facts()
        running = self._state is not None and self._state.status is not None
        if self._state is not None and running != (self.jmem.facts["daemon"] == "live") and not self._doing:
            self._soon(0.05)

    def _soon(self, seconds: float) -> None:
        """Read again in so many seconds, or earlier where that is planned."""
        if self._next is None or self._next.name != f"{seconds}":
            if self._next is not None:
                self._next.stop()
            self._next = self.set_timer(seconds, self._again, name=f"{seconds}")

    def _again(self) -> None:
        self._next = None
        if self.app.screen_stack[0] is self:
            self.reload()

    def missed(self, error: JmemError) -> None:
        self._doing = ""
        super().missed(error)
        self._soon(BUSY_S)

    @on(Read)
    def _show(self, read: Read) -> None:
        self._state = state = read.state
        backups = state.backups["backups"] if state.backups else []
        self._backups.show(backups)
        self.set_class(not backups, "-unbacked")
        if backups and self.focused is None:
            self._backups.focus()  # it was hidden when this place opened
        self._none.update(NO_BACKUP if state.backups is not None else UNKNOWN)
        log = self._log
        if tuple(log.items) != state.log:
            at_end = log.cursor >= len(log.items) - 1
            log.show(state.log)
            if at_end:
                log.action_edge(1)
        if state.status is not None:
            waiting = state.status["review"]
            self.jmem.learn(memories=state.status["memories"] - waiting, review=waiting)
        self._draw()
        if self.app.screen_stack[0] is self:
            self._soon(BUSY_S if state.busy else IDLE_S)

    def _draw(self) -> None:
        state, doing, colours = self._state, self._doing, self.app.theme_variables
        if state is None:
            return

        def make(width: int) -> Text:
            text = facts_text(state, colours, width)
            text.append(f"\n{doing}…" if doing else "", f"bold {colours['accent']}")
            return text

        self._facts.draw(make)

    # ---- doing

    def _do(self, doing: str, call: Callable[[Client], str]) -> None:
        """One thing at a time; what `call` answers is told."""
        if self._doing:
            return
        self._doing = doing
        self._draw()
        self.fetch(call, Did, group="do")

    @on(Did)
    def _done(self, did: Did) -> None:
        self._doing = ""
        self.notify(did.text, markup=False)
        self.reload()

    @work(group="ask")
    async def action_start_stop(self) -> None:
        """Start it; or stop it, when that is meant."""
        if self._state is None or self._state.status is None:
            self._do(
                "Starting the daemon", lambda daemon: "The daemon runs" if daemon.start() else "The daemon ran already"
            )
        elif await sure(self, "Stop the daemon?", "No program reaches your memory until it is started again; the next "
                              "command or program that needs it starts it.", "Stop it"):  # fmt: skip
            self._do(
                "Stopping the daemon", lambda daemon: "The daemon has stopped" if daemon.stop() else "It did not run"
            )

    @work(group="ask")
    async def action_restart(self) -> None:
        """Stop and start, when that is meant."""
        if await restarting(self):
            self._do("Restarting the daemon", restart)

    def action_backup(self) -> None:
        """Make one now."""
        self._do(
            "Backing up", lambda daemon: f"Backed up {daemon.backup()['memories']:,} memories, and proved the copy"
        )

    @work(group="ask")
    async def action_restore(self) -> None:
        """The backup under the cursor in the place of the store."""
        backup = self._backups.current
        if backup is None or not isinstance(self.focused, Backups):
            return
        when = f"{local_time(backup['created_at'])} ({ago(backup['created_at'])})"
        text = (
            f"Your memory becomes what it was at {when}: {backup['memories']:,} memories. What was written since is put "
            "aside as a backup of its own, so that you can come back. What was forgotten for ever stays forgotten."
        )
        if await sure(self, "Restore this backup?", text, "Restore it", danger=True):
            name = backup["name"]

            def call(daemon: Client) -> str:
                done = daemon.restore_backup(name)
                return f"Restored: {done['memories']:,} memories. What it replaced is kept as a backup."

            self._do("Restoring", call)

    @work(group="ask")
    async def action_rebuild(self) -> None:
        """From the stored vectors, or from the texts."""
        from jmem.tui.screens.confirm import Answer, Choice

        text = "Searches go on meanwhile. From the vectors takes seconds; embedding every text anew takes longer."
        answers = (
            Answer("vectors", "v", "From the vectors"), Answer("texts", "t", "Embed every text anew"), Answer("", "n", "Leave it"),
        )  # fmt: skip
        how = await self.app.push_screen_wait(Choice("Build the index anew?", text, answers))
        if how:

            def call(daemon: Client) -> str:
                daemon.rebuild_index(embed=how == "texts")
                return "The index is being built anew"

            self._do("Rebuilding", call)

    def action_log(self) -> None:
        """To the log and back."""
        (self._backups if isinstance(self.focused, Log) else self._log).focus()


async def sure(place: Place, title: str, text: str, yes: str, *, danger: bool = False) -> bool:
    """Ask whether something is meant."""
    from jmem.tui.screens.confirm import Answer, Choice

    answers = (Answer("yes", "y", yes, dangerous=danger), Answer("", "n", "Leave it"))
    return await place.app.push_screen_wait(Choice(title, text, answers, danger=danger)) == "yes"


async def restarting(place: Place) -> bool:
    """Ask whether the daemon is to be restarted."""
    said = "Programs that ask in that moment wait for a second or two. Nothing is lost; settings are read anew."
    return await sure(place, "Restart the daemon?", said, "Restart it")


def restart(daemon: Client) -> str:
    """Stop the daemon and start it; what to tell."""
    daemon.stop()
    daemon.start()
    return f"The daemon runs again, pid {daemon.health()['pid']}"
