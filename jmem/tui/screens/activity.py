"""What programs ask and get, as it happens, and beside it what each of them may do."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from jmem.client import Client
from jmem.core.errors import JmemError
from jmem.tui.feed import Accessed, Changed
from jmem.tui.main import CLIENT
from jmem.tui.screens.answers import Access, Answers, answers_text
from jmem.tui.screens.base import Place
from jmem.tui.widgets.fitted import Fitted
from jmem.tui.widgets.programs import Known, Programs
from jmem.tui.widgets.stream import Event, Stream, of_access

PAGE, PAGES = 200, 5
"""Accesses read at once, and pages read at most until some of them are shown."""
KEPT = 4_000
"""Events that are kept; more are read from the log again."""
TEXTED = ("add", "edit", "delete", "restore", "get")
"""What is about one memory, whose text stands in the line."""
SETTLE_S = 0.15
"""How long the cursor rests on a line before its answers are read."""
NARROW, TALL, LOW = 100, 28, 16
"""Columns below which the programs fold, rows from which answers stand below the stream, rows below which borders go."""


class Read(Message):
    """A page of the log: the newest, or with `older` what comes after the last line."""

    def __init__(self, events: list[Event], *, last: int | None, older: bool, only: str) -> None:
        super().__init__()
        self.events, self.last, self.older, self.only = events, last, older, only


class Told(Message):
    """One access with its answers; `whole` opens it."""

    def __init__(self, access: Access | None, *, whole: bool) -> None:
        super().__init__()
        self.access, self.whole = access, whole


class Texts(Message):
    """What was written, by the number of the access."""

    def __init__(self, texts: dict[int, str]) -> None:
        super().__init__()
        self.texts = texts


class ActivityPlace(Place):
    """Stream, answers and programs."""

    scope = "activity"
    follows = Accessed
    DEFAULT_CSS = """
    ActivityPlace .pane { border: round $panel; border-title-color: $foreground 70%; border-subtitle-color: $foreground 60%; }
    ActivityPlace .pane:focus-within { border: round $primary; }
    ActivityPlace #left { width: 1fr; }
    ActivityPlace #streaming { height: 3fr; }
    ActivityPlace #streaming.-paused { border: round $warning; border-subtitle-color: $warning; }
    ActivityPlace #answering { height: 2fr; }
    ActivityPlace #allowing { width: 48; }
    ActivityPlace .empty { padding: 1 2; color: $foreground 70%; display: none; }
    ActivityPlace.-quiet #streaming .empty, ActivityPlace.-nobody #allowing .empty { display: block; }
    ActivityPlace.-quiet Stream, ActivityPlace.-nobody Programs { display: none; }
    ActivityPlace.-narrow #allowing, ActivityPlace.-short #answering { display: none; }
    ActivityPlace.-narrow.-allowing #allowing { display: block; width: 1fr; }
    ActivityPlace.-narrow.-allowing #left { display: none; }
    ActivityPlace.-low .pane { border: none; }
    """
    AUTO_FOCUS = "Stream"

    def __init__(self) -> None:
        super().__init__()
        # held, not looked for: what happens while the screen is taken down still finds them
        self._stream, self._programs = Stream(), Programs()
        self._streaming = Vertical(id="streaming", classes="pane")
        self._answering = Fitted(id="answering", classes="pane")
        self._events: list[Event] = []
        self._waiting: list[Event] = []
        self._last: int | None = None
        """the number of the last access that was read; None when there are no older ones"""
        self._reading = False
        self.only, self.own, self.paused = "", False, False
        self._resting: Timer | None = None
        self._unread: list[int] = []
        """writes whose text is to be read"""

    def content(self) -> ComposeResult:
        with Horizontal():
            with Vertical(id="left"):
                with self._streaming:
                    yield self._stream
                    yield Static(
                        "No program has asked for anything yet.\n\nc connects one.", classes="empty", markup=False
                    )
                self._answering.border_title = "Answer"
                yield self._answering
            with Vertical(id="allowing", classes="pane") as allowing:
                allowing.border_title = "Programs"
                yield self._programs
                yield Static("No program is connected yet.\n\nc connects one.", classes="empty", markup=False)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < NARROW, "-narrow")
        self.set_class(event.size.height < TALL, "-short")
        self.set_class(event.size.height < LOW, "-low")
        self._rest()

    # ---- reading

    def reload(self) -> None:
        self._read(None)
        self._read_programs()

    def memory_changed(self, change: Changed) -> None:
        """A write is an access too."""

    def catch_up(self) -> None:
        if not self.paused:
            self.reload()

    def _read(self, before: int | None) -> None:
        """The newest of the log, or what comes after the last line."""
        only, own = self.only, self.own
        self._reading = True
        self.fetch(
            lambda daemon: _page(daemon, only, own, before),
            lambda page: Read(page[0], last=page[1], older=before is not None, only=only),
            group="stream",
            exclusive=True,
        )

    def _read_programs(self) -> None:
        self.fetch(lambda daemon: daemon.clients(), Known, group="programs", exclusive=True)

    def missed(self, error: JmemError) -> None:
        self._reading = False
        super().missed(error)

    @on(Read)
    def _show_read(self, read: Read) -> None:
        self._reading = False
        if read.only != self.only:
            return
        if read.older:
            self._events += read.events
        else:
            self._events, self._waiting = read.events, []
        self._last = read.last
        self._show()

    @on(Known)
    def _show_programs(self, known: Known) -> None:
        programs = [program for program in known.programs if not program["revoked"]]
        self.set_class(not programs, "-nobody")
        self._programs.show(programs)

    # ---- the stream

    def accessed(self, access: Accessed) -> None:
        event = access.event
        self._seen(event)
        if not _wanted(event, self.only, self.own):
            return
        if event["what"] in TEXTED:
            self._unread.append(event["id"])
            if len(self._unread) == 1:
                self.set_timer(2 * SETTLE_S, self._read_texts)
        if self.paused:
            self._waiting.insert(0, event)
        else:
            self._events.insert(0, event)
            del self._events[KEPT:]
        self._show()

    def _read_texts(self) -> None:
        first, last = min(self._unread), max(self._unread)
        self._unread.clear()
        self.fetch(lambda daemon: _texts(daemon, first, last), Texts, group="texts")

    @on(Texts)
    def _put_texts(self, read: Texts) -> None:
        for event in (*self._events, *self._waiting):
            if event["id"] in read.texts:
                event["query"] = read.texts[event["id"]]
        self._stream.refresh()

    def _seen(self, event: Event) -> None:
        """Its program was here just now; one that is new is read."""
        programs = self._programs
        for program in programs.items:
            if program["name"] == event["client"]:
                program["last_seen"] = event["at"]
                programs.refresh()
                return
        if event["client"] not in (CLIENT, "cli"):
            self._read_programs()

    def _show(self) -> None:
        stream = self._stream
        stream.show(tuple(self._events), keep=stream.cursor != 0)  # on the first line one stays with what is new
        self.set_class(not self._events, "-quiet")
        pane = self._streaming
        pane.set_class(self.paused, "-paused")
        what = f"of {self.only}" if self.only else "of every program"
        pane.border_title = Content(f"What was asked, {what}")
        waiting = f", {len(self._waiting):,} new" if self._waiting else ""
        pane.border_subtitle = f"paused{waiting}" if self.paused else "live"

    @on(Stream.Moved)
    def _moved(self, moved: Stream.Moved) -> None:
        if isinstance(moved.rows, Stream):
            self._rest()
            near_end = moved.rows.cursor > len(self._events) - moved.rows.size.height
            if near_end and self._last is not None and not self._reading:
                self._read(self._last)

    def _rest(self) -> None:
        """Read the answers of the line where the cursor comes to rest, where they are seen."""
        if self._resting is not None:
            self._resting.stop()
        if not self.has_class("-short"):
            self._resting = self.set_timer(SETTLE_S, self._tell)

    def _tell(self, whole: bool = False) -> None:
        event = self._stream.current
        if event is None:
            self.post_message(Told(None, whole=False))
            return
        id = event["id"]
        query = {"before": id + 1, "after": id - 1, "limit": 1, "content": True}
        self.fetch(lambda daemon: daemon.accesses(query), lambda page: _told(page, whole), group="told", exclusive=True)

    @on(Told)
    def _show_told(self, told: Told) -> None:
        pane, access, colours = self._answering, told.access, self.app.theme_variables
        if told.whole and told.access is not None:
            self.app.push_screen(Answers(told.access))
        else:
            pane.draw(lambda width: answers_text(access, colours, width) if access else Text())
            pane.scroll_home(animate=False)

    @on(Stream.Chosen)
    def _chosen(self, chosen: Stream.Chosen) -> None:
        if isinstance(chosen.rows, Stream):
            self.action_open()

    def action_open(self) -> None:
        """All of the answer."""
        self._tell(whole=True)

    def action_pause(self) -> None:
        """Hold still, or go on with what came meanwhile."""
        self.paused = not self.paused
        if not self.paused:
            self._events, self._waiting = (self._waiting + self._events)[:KEPT], []
        self._show()

    def action_filter(self) -> None:
        """By the program of this line, or by none."""
        event = self._stream.current
        self._narrow("" if self.only or event is None else event["client"])

    @on(Programs.Picked)
    def _pick(self, picked: Programs.Picked) -> None:
        self._narrow("" if self.only == picked.name else picked.name)

    def _narrow(self, only: str) -> None:
        self.only = only
        programs = self._programs
        programs.only = only
        programs.refresh()
        self._events, self._waiting = [event for event in self._events if _wanted(event, only, self.own)], []
        self._stream.cursor = 0
        self._read(None)

    def action_own(self) -> None:
        """With what this interface asks, or without."""
        self.own = not self.own
        self._narrow(self.only)

    def action_programs(self) -> None:
        """To the other pane; a narrow screen shows one of them."""
        there = isinstance(self.focused, Programs)
        self.set_class(not there, "-allowing")
        (self._stream if there else self._programs).focus()

    def action_clear(self) -> None:
        """From the programs to the stream, then all programs again."""
        if isinstance(self.focused, Programs):
            self.action_programs()
        elif self.paused:
            self.action_pause()
        elif self.only:
            self._narrow("")

    # ---- the programs

    @work(group="ask")
    async def action_connect(self) -> None:
        """Connect a program."""
        from jmem.tui.screens.connect import Connect

        await self.app.push_screen_wait(Connect())
        self._read_programs()


def _page(daemon: Client, only: str, own: bool, before: int | None) -> tuple[list[Event], int | None]:
    """What is shown of the log before a number, and the number to go on from; pages until there is something."""
    found = list[Event]()
    for _ in range(PAGES):
        page = daemon.accesses({"limit": PAGE, "client": only or None, "before": before})["accesses"]
        found += [event for event in map(of_access, page) if _wanted(event, only, own)]
        before = int(page[-1]["id"]) if len(page) == PAGE else None
        if before is None or len(found) >= PAGE // 2:
            break
    if written := [event["id"] for event in found if event["what"] in TEXTED]:
        texts = _texts(daemon, min(written), max(written))
        for event in found:
            event["query"] = event["query"] or texts.get(event["id"])
    return found, before


def _texts(daemon: Client, first: int, last: int) -> dict[int, str]:
    """What was written by the accesses between two numbers."""
    query = {"after": first - 1, "before": last + 1, "what": TEXTED, "content": True, "limit": PAGE}
    told = daemon.accesses(query)["accesses"]
    return {one["id"]: one["answers"][0]["content"] or "" for one in told if one["answers"]}


def _wanted(event: Event, only: str, own: bool) -> bool:
    return event["client"] == only if only else own or event["client"] != CLIENT


def _told(page: dict[str, Any], whole: bool) -> Told:
    return Told(page["accesses"][0] if page["accesses"] else None, whole=whole)
