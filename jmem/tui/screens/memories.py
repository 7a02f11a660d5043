"""The first place: search as you type, the list, filters and preview beside it, and everything one can do to a memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import Any

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from jmem.cli.text import local_time
from jmem.core.errors import JmemError
from jmem.tui import shown
from jmem.tui.feed import Changed
from jmem.tui.listing import Counted, Failed, Found, Past, Rows
from jmem.tui.screens.base import say
from jmem.tui.screens.tending import CHANGES, Tending
from jmem.tui.view import HITS, SORTS, View
from jmem.tui.widgets.facets import MOMENT, NOW, Facets
from jmem.tui.widgets.keybar import KeyBar
from jmem.tui.widgets.preview import Preview
from jmem.tui.widgets.question import Question
from jmem.tui.widgets.results import Results

DEBOUNCE_S = 0.12
"""Between two searches while one types; the first key does not wait."""
SETTLE_S = 0.5
"""Between two readings of the list while programs write."""
NARROW, LOW = 100, 16
"""Columns below which the side panes fold, and rows below which borders do."""


class MemoriesPlace(Tending):
    """The list and what is around it. `view` is what is asked for; the list may be a moment behind it."""

    scope = "memories"
    DEFAULT_CSS = """
    MemoriesPlace #ask { height: 3; border: round $panel; padding: 0 1; }
    MemoriesPlace #ask:focus-within { border: round $primary; }
    MemoriesPlace #told { width: 45%; height: 1; color: $foreground 60%; padding-left: 2; text-align: right; }
    MemoriesPlace #list { width: 3fr; border: round $panel; border-title-color: $foreground 70%; }
    MemoriesPlace #list:focus-within { border: round $primary; }
    MemoriesPlace #empty { display: none; padding: 1 2; color: $foreground 70%; }
    MemoriesPlace.-empty #empty { display: block; }
    MemoriesPlace.-empty Results { display: none; }
    MemoriesPlace #then { display: none; height: 1; padding: 0 1; background: $warning 25%; color: $foreground; text-style: bold; }
    MemoriesPlace.-then #then { display: block; }
    MemoriesPlace.-narrow Facets, MemoriesPlace.-narrow Preview { display: none; }
    MemoriesPlace.-narrow.-filtering Facets { display: block; }
    MemoriesPlace.-low #ask { height: 1; border: none; }
    MemoriesPlace.-low #list, MemoriesPlace.-low Facets, MemoriesPlace.-low Preview { border: none; }
    """
    AUTO_FOCUS = "#question"

    def __init__(self) -> None:
        super().__init__()
        self.view = View()
        self._asked = asyncio.Event()
        self._sent = 0.0
        self._tags: list[tuple[str, int]] = []
        self._stats: dict[str, Any] = {}
        self._told_of: tuple[Found, int] | None = None
        self._counted_once = False
        self.unavailable: frozenset[str] = frozenset()

    @property
    def known_tags(self) -> list[tuple[str, int]]:
        return self._tags

    def content(self) -> ComposeResult:
        with Horizontal(id="ask"):
            yield Question("question")
            yield Static("", id="told", markup=False)
        yield Static("", id="then", markup=False)
        with Horizontal():
            yield Facets(id="facets")
            with Horizontal(id="list"):
                yield Results(id="results")
                yield Static("", id="empty", markup=False)
            yield Preview(id="preview")

    def on_mount(self) -> None:
        super().on_mount()
        self.begin(self._search_on, group="search")

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < NARROW, "-narrow")
        self.set_class(event.size.height < LOW, "-low")

    # ---- asking

    def reload(self) -> None:
        self._asked.set()
        self.begin(self._count, group="count", exclusive=True)

    def memory_changed(self, change: Changed) -> None:
        """Read again, at most twice a second however many are written; the past stays as it was."""
        if not self.view.as_of:
            self.soon(SETTLE_S, self.reload)

    def ask(self, view: View) -> None:
        """Show another view; of several within a moment only the last is asked for."""
        if view != self.view:
            self.view = view
            self._show_moment()
            self._asked.set()

    async def _search_on(self) -> None:
        """Ask for the newest view, again and again; an answer that is late is dropped."""
        while True:
            await self._asked.wait()
            await asyncio.sleep(max(self._sent + DEBOUNCE_S - time.monotonic(), 0))
            self._asked.clear()
            self._sent, view = time.monotonic(), self.view
            answer = asyncio.ensure_future(self._find(view))
            newer = asyncio.ensure_future(self._asked.wait())
            await asyncio.wait((answer, newer), return_when=asyncio.FIRST_COMPLETED)
            newer.cancel()
            if answer.done():
                self.post_message(answer.result())

    async def _find(self, view: View) -> Found | Failed:
        try:
            if view.searching:
                about = await self.remote(view.search)
                return Found(view, about.pop("results"), -1, 0, about)
            offset = self._first_row()
            about = await self.remote(lambda daemon: view.page(daemon, offset, count=True))
            rows = about.pop("memories")
            if not rows and offset:  # the list has become shorter than the place where one was
                offset = 0
                about = await self.remote(lambda daemon: view.page(daemon, 0, count=True))
                rows = about.pop("memories")
            return Found(view, rows, about["total"], offset, about)
        except JmemError as error:
            return Failed(error)

    def _first_row(self) -> int:
        """Where to read a list that is shown already: around what is on the screen."""
        for results in self.query(Results):  # none when the interface is left in this moment
            return max(results.scroll_offset.y - results.size.height, 0) if self.view == results.view else 0
        return 0

    async def _count(self) -> None:
        try:
            tags = await self.remote(lambda daemon: daemon.tags())
            stats = await self.remote(lambda daemon: daemon.stats())
        except JmemError:
            return  # the list says what is wrong
        self.post_message(Counted([(tag["tag"], tag["count"]) for tag in tags], stats))

    @on(Results.Wanted)
    def _read_rows(self, wanted: Results.Wanted) -> None:
        self.begin(partial(self._page, self.view, wanted.offset), group="rows")

    async def _page(self, view: View, offset: int) -> None:
        try:
            page = await self.remote(lambda daemon: view.page(daemon, offset))
        except JmemError:
            self.post_message(Rows(view, offset, None))
        else:
            self.post_message(Rows(view, offset, page["memories"]))

    # ---- showing

    @on(Found)
    def _show(self, found: Found) -> None:
        if found.view != self.view:
            return
        view, total = found.view, len(found.rows) if found.total < 0 else found.total
        results = self.query_one(Results)
        words = shown.question_words(view.text) if view.searching else ()
        results.show(found.rows, total, offset=found.offset, words=words, sort="" if view.searching else view.sort,
                     keep=view == results.view)  # fmt: skip
        results.view = view
        self._told_of = found, total
        self._marks_changed()
        self._show_filters()
        self._show_empty(total, found.about)

    def _marks_changed(self) -> None:
        super()._marks_changed()
        if self._told_of is not None:
            self.query_one("#told", Static).update(self._told(*self._told_of), layout=False)

    def progress(self, done: int, of: int) -> None:
        self.query_one("#list").border_subtitle = f"changing {of:,} memories: {done:,} done" if of else ""

    def _told(self, found: Found, total: int) -> str:
        view = found.view
        parts = view.filters()
        if view.searching:
            sure = found.about.get("confident", True)
            many = f"the best {total}" if total >= HITS else f"{total} found"
            parts.append(many if sure or not total else "perhaps nothing")
            parts.append(f"{found.about.get('took_ms', 0):.0f} ms")
            if degraded := found.about.get("degraded"):
                parts.append(str(degraded))
        else:
            parts += [f"{total:,}", SORTS.get(view.sort, view.sort)]
        if marked := len(self.query_one(Results).marked):
            parts.insert(0, f"{marked:,} marked")
        return " · ".join(parts)

    def _show_empty(self, total: int, about: dict[str, Any]) -> None:
        self.set_class(total == 0, "-empty")
        if total == 0:
            text = "Nothing is remembered yet.\n\nCtrl-n adds a memory." if self.view == View() else (
                "Nothing fits.\n\nEsc clears the filters and the search."
            )  # fmt: skip
            self.query_one("#empty", Static).update(text)

    @on(Counted)
    def _counted(self, counted: Counted) -> None:
        self._tags, self._stats = counted.tags, counted.stats
        waiting = counted.stats.get("states", {}).get("review", 0)
        self.jmem.learn(memories=counted.stats["memories"] - waiting, review=waiting)
        self._show_filters()
        first, self._counted_once = not self._counted_once, True
        if first and not counted.stats["memories"] and self.app.screen is self:
            self._welcome()

    def _welcome(self) -> None:
        """Where there is nothing yet when one comes."""
        from jmem.tui.screens.onboarding import Welcome

        self.app.push_screen(Welcome(), lambda done: self.reload())

    def _show_filters(self) -> None:
        self.query_one(Facets).show(self.view, self._tags, self._stats)

    @on(Rows)
    def _put(self, rows: Rows) -> None:
        results = self.query_one(Results)
        if rows.view == results.view:
            results.failed(rows.offset) if rows.rows is None else results.put(rows.offset, rows.rows)

    @on(Failed)
    def _failed(self, failed: Failed) -> None:
        say(self, failed.error)
        self.query_one("#told", Static).update("no answer", layout=False)

    @on(Results.Moved)
    def _preview(self) -> None:
        self.query_one(Preview).show(self.results.current, self.results.words)

    # ---- what is typed and chosen

    @on(Input.Changed, "#question")
    def _typed(self, event: Input.Changed) -> None:
        self.ask(replace(self.view, text=event.value))

    @on(Facets.Chosen)
    def _filter(self, chosen: Facets.Chosen) -> None:
        if chosen.section != "as of":
            self.ask(self.view.toggled(chosen.section, chosen.value))
        elif chosen.value == NOW:
            self.ask(replace(self.view, as_of=""))
        elif chosen.value == MOMENT:
            self.action_as_of()

    # ---- the past

    def action_as_of(self) -> None:
        """Ask for the moment."""
        from jmem.tui.screens.ask import Line

        def given(text: str | None) -> None:
            if text is not None and text.strip():
                # the daemon understands the words, and says which moment they are
                self.fetch(lambda daemon: str(daemon.page({"limit": 1, "as_of": text})["as_of"]), Past, group="past")

        self.app.push_screen(Line("All as it stood at", placeholder="yesterday, last week, 2026-03-14 10:00", help=(
            "A day counts to its end. Nothing can be changed there; Esc in the list goes back to now."
        )), given)  # fmt: skip

    @on(Past)
    def _look_back(self, past: Past) -> None:
        self.results.marked.clear()
        self.ask(replace(self.view, as_of=past.moment))
        self.results.focus()

    def _show_moment(self) -> None:
        """Say above the list that it is of the past, and leave out the keys that would change it."""
        moment = self.view.as_of
        self.set_class(bool(moment), "-then")
        self.query_one("#then", Static).update(
            f"As it stood on {local_time(moment)} · read only · Esc: now" if moment else ""
        )
        self.unavailable = CHANGES if moment else frozenset()
        self.query_one(KeyBar).refresh()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "search" and self.focused is not None and self.focused.id == "question":
            return False  # one is there
        return super().check_action(action, parameters)

    def action_search(self) -> None:
        """To the question."""
        self.query_one("#question", Input).focus()

    def action_facets(self) -> None:
        """To the filters, which a narrow screen shows only then, and back to the list."""
        facets = self.query_one(Facets)
        there = facets.has_focus
        self.set_class(not there, "-filtering")
        (self.results if there else facets).focus()
        if not there and facets.highlighted is None:
            facets.action_first()

    def action_sort(self) -> None:
        """By the next order."""
        orders = list(SORTS)
        self.ask(replace(self.view, sort=orders[(orders.index(self.view.sort) + 1) % len(orders)]))

    def action_clear(self) -> None:
        """One thing at a time: the marks, then the filters, then the question; from the question to the list."""
        results, question = self.query_one(Results), self.query_one("#question", Input)
        if results.marked:
            results.marked.clear()
            self._marks_changed()
        elif self.view.filtered:
            self.ask(View(text=self.view.text, sort=self.view.sort))
        elif question.value:
            question.value = ""
        else:
            self.remove_class("-filtering")
            results.focus()

    def action_mark(self) -> None:
        """Mark and go on to the next."""
        results = self.query_one(Results)
        results.mark()
        self._marks_changed()
        results.action_move(1)
