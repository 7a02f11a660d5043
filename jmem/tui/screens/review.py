"""The inbox: what programs under review wrote, to approve, to edit and approve, or to reject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from jmem.cli.text import age
from jmem.client import Client
from jmem.core.errors import NotFound
from jmem.tui import actions, shown
from jmem.tui.feed import Changed
from jmem.tui.screens.base import Place
from jmem.tui.view import PAGE, View
from jmem.tui.widgets.keybar import KeyBar
from jmem.tui.widgets.preview import Preview
from jmem.tui.widgets.results import Memory, Results

SETTLE_S = 0.3
"""Between two readings while programs write."""
REST_S, MOST_NEAR = 0.2, 3
"""How long the cursor rests before it is asked what a memory resembles, and how many are shown."""
NARROW, LOW = 100, 14
INBOX = View(state="review", sort="created")
_DONE = {"approve": "Approved", "reject": "Rejected"}


class Inbox(Message):
    """Rows of what waits, from `offset` on, of `total`."""

    def __init__(self, view: View, offset: int, rows: list[Memory], total: int | None) -> None:
        super().__init__()
        self.view, self.offset, self.rows, self.total = view, offset, rows, total


class Decided(Message):
    """What was decided, and about how many."""

    def __init__(self, decision: str, count: int, skipped: list[dict[str, Any]]) -> None:
        super().__init__()
        self.decision, self.count, self.skipped = decision, count, skipped


class Resembles(Message):
    """What says nearly the same as the memory of an id."""

    def __init__(self, id: str, near: list[Memory]) -> None:
        super().__init__()
        self.id, self.near = id, near


class Waiting(Results):
    """The list, with the program first: whom one trusts is what one decides by."""

    def line(self, memory: Memory, number: int, width: int) -> Text:
        line = Text(end="", no_wrap=True)
        line.append("▌ " if memory["id"] in self.marked else "  ", self.style("name"))
        line.append(shown.fit(shown.one_line(memory["client"]), 12 if width >= 60 else 8) + "  ", self.style("warn"))
        tags = " ".join("#" + shown.one_line(tag) for tag in memory["tags"]) if width >= 60 else ""
        beside = shown.fit(tags, min(shown.cell_len(tags), width // 4))
        right = age(memory["created_at"]).rjust(4) + " "
        room = max(width - line.cell_len - shown.cell_len(beside) - len(right) - (2 if beside else 0), 8)
        line.append(shown.fit(shown.headline(memory), room))
        line.append(f"  {beside}" if beside else "", self.style("good"))
        line.append(right, self.style("dim"))
        return line


class ReviewPlace(Place):
    """List and text. `view` may be narrowed to one program."""

    scope = "review"
    DEFAULT_CSS = """
    ReviewPlace .pane { border: round $panel; border-title-color: $foreground 70%; border-subtitle-color: $foreground 60%; }
    ReviewPlace .pane:focus-within { border: round $primary; }
    ReviewPlace #waiting { width: 3fr; }
    ReviewPlace Preview { width: 2fr; }
    ReviewPlace.-narrow #panes { layout: vertical; }
    ReviewPlace.-narrow #waiting, ReviewPlace.-narrow Preview { width: 1fr; height: 1fr; }
    ReviewPlace #empty { display: none; padding: 1 2; color: $foreground 70%; }
    ReviewPlace.-empty #empty { display: block; }
    ReviewPlace.-empty Results, ReviewPlace.-empty Preview { display: none; }
    ReviewPlace.-low .pane, ReviewPlace.-low Preview { border: none; }
    ReviewPlace.-low Preview { display: none; }
    """
    AUTO_FOCUS = "Waiting"

    def __init__(self) -> None:
        super().__init__()
        # held, not looked for: what happens while the screen is taken down still finds them
        self._list, self._text = Waiting(), Preview()
        self._pane, self._empty = Vertical(id="waiting", classes="pane"), Static("", id="empty", markup=False)
        self.view = INBOX
        self._deciding = False
        self._resting: Timer | None = None
        self.key_titles: dict[str, str] = {}

    def content(self) -> ComposeResult:
        with Horizontal(id="panes"):
            with self._pane:
                yield self._list
                yield self._empty
            yield self._text

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < NARROW, "-narrow")
        self.set_class(event.size.height < LOW, "-low")

    # ---- reading

    def reload(self) -> None:
        results = self._list
        self._page(
            max(results.scroll_offset.y - results.size.height, 0) if results.view == self.view else 0, count=True
        )

    def _page(self, offset: int, *, count: bool = False) -> None:
        view = self.view

        def made(page: dict[str, Any]) -> Inbox:
            return Inbox(view, offset, page["memories"], page.get("total"))

        self.fetch(
            lambda daemon: view.page(daemon, offset, limit=PAGE, count=count), made, group="first" if count else "rows"
        )

    def seek(self, id: str, *, first: bool = False) -> None:
        self._list.seek(id)

    def memory_changed(self, change: Changed) -> None:
        self.soon(SETTLE_S, self.reload)

    @on(Results.Wanted)
    def _read_rows(self, wanted: Results.Wanted) -> None:
        self._page(wanted.offset)

    @on(Inbox)
    def _show(self, inbox: Inbox) -> None:
        results = self._list
        if inbox.view != self.view:
            return
        if inbox.total is None:
            results.put(inbox.offset, inbox.rows)
            return
        if not inbox.rows and inbox.total and inbox.offset:
            self._page(0, count=True)  # it has become shorter than the place where one was
            return
        same = results.view == inbox.view
        results.view = inbox.view
        results.show(inbox.rows, inbox.total, offset=inbox.offset, keep=same)
        if inbox.total <= len(inbox.rows):
            here = {memory["id"] for memory in inbox.rows}
            results.marked = {id: memory for id, memory in results.marked.items() if id in here}
        self.set_class(inbox.total == 0, "-empty")
        self._tell(inbox.total)
        if not self.view.clients:
            self.jmem.learn(review=inbox.total)

    def _tell(self, total: int) -> None:
        of = f" of {', '.join(sorted(self.view.clients))}" if self.view.clients else ""
        pane, marked = self._pane, len(self._list.marked)
        pane.border_title = Content(f"{total:,} {'waits' if total == 1 else 'wait'} for you{of}")
        pane.border_subtitle = f"{marked:,} marked" if marked else ""
        if total == 0:
            self._empty.update(
                f"Nothing{of} waits for you.\n\nEsc shows all programs again." if of else
                "Nothing waits for you.\n\nLet what a program writes wait here: 2 Activity, p, v on the program."
            )  # fmt: skip

    @on(Results.Moved)
    def _preview(self) -> None:
        memory = self._list.current
        self._text.show(memory)
        if self._resting is not None:
            self._resting.stop()
        if memory is not None:
            id, client = memory["id"], shown.one_line(memory["client"])
            self.key_titles = {
                "review.approve_program": f"Approve all of {client}", "review.reject_program": f"Reject all of {client}",
            }  # fmt: skip
            self.query_one(KeyBar).refresh()
            self._resting = self.set_timer(REST_S, lambda: self._look_near(id))

    def _look_near(self, id: str) -> None:
        def near(daemon: Client) -> list[Memory]:
            try:
                return [dict(found["memory"]) for found in daemon.similar(id, limit=MOST_NEAR)]
            except NotFound:
                return []  # decided elsewhere in this moment

        self.fetch(near, lambda found: Resembles(id, found), group="near", exclusive=True)

    @on(Resembles)
    def _show_near(self, resembles: Resembles) -> None:
        memory = self._list.current
        if memory is not None and memory["id"] == resembles.id:
            self._text.resembles(resembles.near)

    @on(Results.Chosen)
    def _clicked(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        """All of it; editing it there goes on as here."""
        from jmem.tui.screens.reader import EDIT, Reader

        memory = self._list.current
        if memory is not None:

            def closed(answer: str | None) -> None:
                if answer == EDIT:
                    self.action_edit()

            self.app.push_screen(Reader(memory), closed)

    # ---- deciding

    def _decide(self, decision: str, *, ids: Sequence[str] = (), client: str = "") -> None:
        """About some, or all of one program, as one action."""
        if self._deciding:
            return
        self._deciding = True
        which: dict[str, Any] = {"client": client} if client else {"ids": list(ids)}

        def made(answer: dict[str, Any]) -> Decided:
            return Decided(decision, answer["count"], answer["skipped"])

        self.fetch(lambda daemon: daemon.request("POST", "/review", {"decision": decision, **which}), made)

    @on(Decided)
    def _decided(self, decided: Decided) -> None:
        self._deciding = False
        results = self._list
        results.marked.clear()
        what = "1 memory" if decided.count == 1 else f"{decided.count:,} memories"
        key = self.app.get_key_display(actions.BY_ID["app.undo"].binding().with_key(self._undo_key()))
        gone = f"\n{len(decided.skipped):,} did not wait any more" if decided.skipped else ""
        self.notify(f"{_DONE[decided.decision]} {what}. {key} takes it back.{gone}", markup=False)
        self.reload()

    def _undo_key(self) -> str:
        return next(iter(actions.keys_of(actions.BY_ID["app.undo"], self.jmem.prefs.keys)), "u")

    def missed(self, error: Any) -> None:
        self._deciding = False
        super().missed(error)
        if error.code == "not_waiting":
            self.reload()  # somebody else has decided

    def action_approve(self) -> None:
        """What is marked, or what is under the cursor."""
        if chosen := self._list.chosen:
            self._decide("approve", ids=[memory["id"] for memory in chosen])

    def action_reject(self) -> None:
        """What is marked, or what is under the cursor."""
        if chosen := self._list.chosen:
            self._decide("reject", ids=[memory["id"] for memory in chosen])

    def action_approve_program(self) -> None:
        """All of the program of this line."""
        self._decide_all("approve")

    def action_reject_program(self) -> None:
        """All of the program of this line."""
        self._decide_all("reject")

    @work(group="ask")
    async def _decide_all(self, decision: str) -> None:
        memory = self._list.current
        if memory is None:
            return
        from jmem.tui.screens.confirm import Answer, Choice

        client = memory["client"]
        verb = decision.capitalize()
        body = (
            f"Everything that waits of {shown.one_line(client)} is "
            f"{'found by programs from then on' if decision == 'approve' else 'deleted'}. It is one step: undo takes it back."
        )
        answers = (Answer("yes", "y", f"{verb} all", dangerous=decision == "reject"), Answer("", "n", "Leave them"))
        if await self.app.push_screen_wait(Choice(f"{verb} all that {client} wrote?", body, answers)) == "yes":
            self._decide(decision, client=client)

    @work(group="ask")
    async def action_edit(self) -> None:
        """Change it and approve it, in one step."""
        memory = self._list.current
        if memory is None:
            return
        from jmem.tui.screens.approving import Approving

        if await self.app.push_screen_wait(Approving(memory)) is not None:
            self.post_message(Decided("approve", 1, []))

    # ---- marks and the filter

    def action_mark(self) -> None:
        """Mark and go on to the next."""
        results = self._list
        results.mark()
        results.action_move(1)
        self._tell(results.total)

    def action_mark_all(self) -> None:
        """Those that are read, or none."""
        results = self._list
        every = {memory["id"]: memory for memory in results.rows.values()}
        results.marked = {} if len(results.marked) == len(every) else every
        results.refresh()
        self._tell(results.total)

    def action_filter(self) -> None:
        """By the program of this line, or by none."""
        memory = self._list.current
        if self.view.clients or memory is None:
            self._narrow(INBOX)
        else:
            self._narrow(replace(INBOX, clients=frozenset((memory["client"],))))

    def action_clear(self) -> None:
        """The marks, then the filter."""
        results = self._list
        if results.marked:
            results.marked.clear()
            results.refresh()
            self._tell(results.total)
        elif self.view != INBOX:
            self._narrow(INBOX)

    def _narrow(self, view: View) -> None:
        self.view = view
        self.reload()
