"""Memories that say nearly the same, side by side: keep one, make one of both, or note that they are not the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from jmem.cli.text import age
from jmem.client import Client
from jmem.core.errors import Conflict, JmemError, NotFound
from jmem.tui import diff, shown
from jmem.tui.feed import Changed
from jmem.tui.screens.base import Place
from jmem.tui.screens.page import Page, title
from jmem.tui.widgets.rows import Rows

Pair = dict[str, Any]
NARROW, WIDE, LOW = 100, 120, 18
STEP_PAIRS, ENOUGH = 50, 300
"""Pairs of one answer, and waiting ones at which the search for more rests."""
ACTIONS = 20
"""Actions elsewhere, after more of which all pairs are looked for anew."""
PAUSE_S, SETTLE_S = 0.15, 0.8
ASKED_AGAIN = 20
"""Changed memories that are compared again at once; after more, everything is looked at again by F5."""


_DECIDES = frozenset(("keep_left", "keep_right", "merge", "distinct"))


class Stepped(Message):
    """A part of the store was looked at."""

    def __init__(self, page: dict[str, Any], first: bool) -> None:
        super().__init__()
        self.page, self.first = page, first


class Log(Message):
    """The newest actions."""

    def __init__(self, actions: list[dict[str, Any]]) -> None:
        super().__init__()
        self.actions = actions


class Near(Message):
    """What is near to some memories now; `ids` are those that were asked about."""

    def __init__(self, ids: Sequence[str], pairs: list[Pair]) -> None:
        super().__init__()
        self.ids, self.pairs = ids, pairs


class Settled(Message):
    """A pair is dealt with: `said` is told, `note` is the pair that was noted as no duplicate."""

    def __init__(self, said: str, pair: Pair, note: bool = False) -> None:
        super().__init__()
        self.said, self.pair, self.note = said, pair, note


class Back(Message):
    """A note was taken back."""

    def __init__(self, pair: Pair) -> None:
        super().__init__()
        self.pair = pair


class Stopped(Message):
    """The daemon could not go on."""

    def __init__(self, error: JmemError) -> None:
        super().__init__()
        self.error = error


class PairList(Rows[Pair]):
    """One line a pair: how near, and both texts."""

    def key(self, item: Pair) -> Any:
        return key_of(item)

    def line(self, item: Pair, number: int, width: int) -> Text:
        text = Text(no_wrap=True, end="")
        tone = "good" if item["score"] >= 0.97 else "accent" if item["by"] == "meaning" else "warn"
        text.append(f" {item['score']:.2f} ", self.style(tone))
        room = max((width - text.cell_len - 5) // 2, 6)
        text.append(shown.fit(shown.headline(item["a"]), room))
        text.append(" │ ", self.style("dim"))
        text.append(shown.fit(shown.headline(item["b"]), max(width - text.cell_len - 1, 6)))
        return text


class Side(VerticalScroll):
    """One of the two."""

    def compose(self) -> ComposeResult:
        yield Static("", markup=False)

    def show(self, memory: dict[str, Any] | None, text: Text, colours: dict[str, str]) -> None:
        """A memory, its text with marks, and what else is known of it."""
        self.scroll_home(animate=False)
        if memory is None:
            self.border_title = self.border_subtitle = ""
            self.query_one(Static).update("")
            return
        self.border_subtitle = Content(f"{memory['id'][-6:]} · {age(memory['created_at'])}")
        body = text.copy()
        body.append("\n\n")
        body.append(" ".join("#" + shown.one_line(tag) for tag in memory["tags"]), colours["success"])
        body.append("  " if memory["tags"] else "")
        body.append(f"by {shown.one_line(memory['client'])}", "dim")
        for name, label in (("speaker", "said by"), ("thread", "in"), ("source", "from")):
            if memory.get(name):
                body.append(f" · {label} {shown.one_line(memory[name])}", "dim")
        if memory["privacy"] == "local":
            body.append(" · only on this machine", "dim")
        self.query_one(Static).update(body)


class Judging(Place):
    """A list of pairs, the one under the cursor side by side, and what one can do about it."""

    DEFAULT_CSS = """
    Judging .pane { border: round $panel; border-title-color: $foreground 70%; border-subtitle-color: $foreground 60%; }
    Judging .pane:focus-within, Judging .pane:focus { border: round $primary; }
    Judging #both { height: 1fr; }
    Judging Side { width: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    Judging Side Static { height: auto; }
    Judging #empty { display: none; padding: 1 2; color: $foreground 70%; }
    Judging.-empty #empty { display: block; }
    Judging.-empty PairList, Judging.-empty #both { display: none; }
    Judging.-low .pane { border: none; }
    Judging.-low Side { border-top: solid $panel; }
    """
    AUTO_FOCUS = "PairList"

    def __init__(self) -> None:
        super().__init__()
        self._noted: list[Pair] = []
        self._done: list[str] = []
        """what was done last, "note" or "change": what undo takes back first"""
        self._stale: set[str] = set()
        self._settling = self._busy = False

    def content(self) -> ComposeResult:
        with Vertical(id="pairs", classes="pane"):
            yield PairList()
            yield Static("", id="empty", markup=False)
        with Horizontal(id="both"):
            yield Side(id="left", classes="pane")
            yield Side(id="right", classes="pane")

    @property
    def pairs(self) -> PairList:
        """The list."""
        return self.query_one(PairList)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < LOW, "-low")
        self._fit(len(self.pairs.items))

    # ---- what is listed

    def put(self, pairs: Sequence[Pair], *, keep: bool = True) -> None:
        """The pairs, each once, however it was found."""
        unique = {key_of(pair): pair for pair in pairs}
        self._fit(len(unique))
        self.pairs.show(list(unique.values()), keep=keep)
        self.tell()

    def _fit(self, count: int) -> None:
        """The list takes the lines that it needs, and two fifths at most."""
        border = 0 if self.has_class("-low") else 2
        lines = max(3, min(count, (self.size.height - 2) * 2 // 5 - border)) + border
        self.query_one("#pairs").styles.height = lines if count else "1fr"

    def tell(self) -> None:
        """How far one is; a subclass says it."""

    def _empty(self, text: str) -> None:
        self.set_class(not self.pairs.items, "-empty")
        self.refresh_bindings()
        self.query_one("#empty", Static).update(text)

    @on(Rows.Moved)
    def _moved(self) -> None:
        left, right = self.query_one("#left", Side), self.query_one("#right", Side)
        pair, colours = self.pairs.current, self.app.theme_variables
        if pair is None:
            left.show(None, Text(), colours)
            right.show(None, Text(), colours)
            return
        texts = diff.sides(pair["a"]["content"], pair["b"]["content"], colours)
        for side, memory, text, name in zip((left, right), (pair["a"], pair["b"]), texts, "ab", strict=True):
            side.show(memory, text, colours)
            side.border_title = self._heading(pair, name)

    def _heading(self, pair: Pair, name: str) -> Content:
        newer = pair["a"]["created_at"] >= pair["b"]["created_at"]
        age_word = "the newer" if (name == "a") == newer else "the older"
        if name == "a":
            how = "alike by words" if pair["by"] == "words" else "alike"
            words = (
                f", {pair['same_words']:.0%} of the words" if self.size.width >= WIDE and pair["by"] != "words" else ""
            )
            about = f" · {pair['score']:.0%} {how}{words}" if self.size.width >= NARROW else ""
            return Content(f"left, {age_word}{about}")
        return Content(f"right, {age_word}")

    # ---- doing

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a pair there is nothing to decide."""
        if action in _DECIDES and not self.pairs.items:
            return False
        return super().check_action(action, parameters)

    def _decide(self, work: Callable[[Client, Pair], Message]) -> None:
        pair = self.pairs.current
        if pair is None or self._busy:
            return
        self._busy = True
        self.fetch(lambda daemon: work(daemon, pair), lambda message: message, group="decide")

    def missed(self, error: JmemError) -> None:
        self._busy = False
        super().missed(error)
        if isinstance(error, Conflict | NotFound) and (pair := self.pairs.current) is not None:
            self._again((pair["a"]["id"], pair["b"]["id"]))

    def action_keep_left(self) -> None:
        """The right one is deleted."""
        self._decide(lambda daemon, pair: _merge(daemon, pair, "a", "b"))

    def action_keep_right(self) -> None:
        """The left one is deleted."""
        self._decide(lambda daemon, pair: _merge(daemon, pair, "b", "a"))

    def action_merge(self) -> None:
        """Write one text from both."""
        from jmem.tui.screens.merging import Merging

        pair = self.pairs.current
        if pair is None:
            return

        def closed(saved: bool | None) -> None:
            if saved:
                self.post_message(Settled("One memory of both", pair))

        self.app.push_screen(Merging(pair), closed)

    def action_distinct(self) -> None:
        """They stay, and are not shown as a pair any more."""

        def note(daemon: Client, pair: Pair) -> Message:
            daemon.set_distinct(pair["a"]["id"], pair["b"]["id"])
            return Settled("Noted: not the same", pair, note=True)

        self._decide(note)

    @on(Settled)
    def _settled_pair(self, settled: Settled) -> None:
        self._busy = False
        gone = key_of(settled.pair)
        if settled.note:
            self._noted.append(settled.pair)
        self._done.append("note" if settled.note else "change")
        self.put([pair for pair in self.pairs.items if key_of(pair) != gone])
        self.notify(f"{settled.said}. Undo takes it back.", markup=False)

    def action_undo(self) -> None:
        """Take back the last step here, else the last change."""
        if self._done and self._done.pop() == "note":
            pair = self._noted.pop()

            def back(daemon: Client) -> Message:
                daemon.set_distinct(pair["a"]["id"], pair["b"]["id"], distinct=False)
                return Back(pair)

            self.fetch(back, lambda message: message, group="decide")
        else:
            self.jmem.action_undo()

    @on(Back)
    def _back(self, back: Back) -> None:
        at = self.pairs.cursor
        items = list(self.pairs.items)
        self.put([*items[:at], back.pair, *items[at:]])
        self.pairs.cursor = at
        self.notify("A pair again", markup=False)

    # ---- what others do meanwhile

    def memory_changed(self, change: Changed) -> None:
        self._stale.add(change.id)
        if not self._settling:
            self._settling = True
            self.set_timer(SETTLE_S, self._look_again)

    def _look_again(self) -> None:
        self._settling = False
        ids, self._stale = list(self._stale), set()
        if not ids:
            return
        listed = {pair[side]["id"] for pair in self.pairs.items for side in "ab"}
        self._again([id for id in ids if id in listed] + [id for id in ids if id not in listed][:ASKED_AGAIN])

    def _again(self, ids: Sequence[str]) -> None:
        self.fetch(lambda daemon: Near(ids, _near(daemon, ids)), lambda near: near, group="near")

    @on(Near)
    def _changed_pairs(self, near: Near) -> None:
        gone = set(near.ids)
        kept = [pair for pair in self.pairs.items if pair["a"]["id"] not in gone and pair["b"]["id"] not in gone]
        self.put([*near.pairs, *kept])


class DuplicatesPlace(Judging):
    """All pairs, found step by step while one is here."""

    scope = "duplicates"

    def __init__(self) -> None:
        super().__init__()
        self._scanned = self._total = 0
        self._cursor: str | None = None
        self._finished = False
        self._seen: int | None = None
        """the newest action that the pairs are as of"""

    def reload(self) -> None:
        """From the newest memory on."""
        self._finished, self._cursor, self._scanned = False, None, 0
        self.begin(self._scan, group="scan", exclusive=True)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.fetch(lambda daemon: daemon.log({"limit": ACTIONS})["actions"], Log, group="log", exclusive=True)
        if self._cursor is not None:
            self.begin(self._scan, group="scan", exclusive=True)

    @on(Log)
    def _caught_up(self, log: Log) -> None:
        """Look again at what was changed while one was elsewhere."""
        seen, self._seen = self._seen, max((action["action"] for action in log.actions), default=0)
        if seen is None:
            return
        missed = [action for action in log.actions if action["action"] > seen]
        if len(missed) == ACTIONS or any(action["count"] > len(action["ids"]) for action in missed):
            self.reload()
        else:
            self._stale.update(id for action in missed for id in action["ids"])
            self._look_again()

    def on_screen_suspend(self) -> None:
        """Nothing is looked for while nobody looks."""
        self.workers.cancel_group(self, "scan")

    async def _scan(self) -> None:
        cursor, first = self._cursor, self._cursor is None
        while len(self.pairs.items) < ENOUGH or first:
            query = {"limit": STEP_PAIRS, "cursor": cursor}
            try:
                page = await self.remote(lambda daemon, query=query: daemon.duplicates(query))  # type: ignore[misc]
            except JmemError as error:
                self.post_message(Stopped(error))
                return
            self.post_message(Stepped(page, first))
            cursor, first = page["next_cursor"], False
            if cursor is None:
                return
            await asyncio.sleep(PAUSE_S)

    @on(Stepped)
    def _stepped(self, step: Stepped) -> None:
        page = step.page
        self._scanned, self._total, self._cursor = page["scanned"], page["total"], page["next_cursor"]
        self._finished = self._cursor is None
        if step.first:
            self.put(page["pairs"])
        elif page["pairs"]:
            self.put([*self.pairs.items, *page["pairs"]])
        else:
            self.tell()

    @on(Stopped)
    def _stopped(self, stopped: Stopped) -> None:
        self.missed(stopped.error)
        self.tell()

    @on(Settled)
    def _go_on(self) -> None:
        """Look for more where the search rested because there was enough to do."""
        resting = not any(worker.group == "scan" and worker.is_running for worker in self.workers)
        if self._cursor is not None and resting and len(self.pairs.items) < ENOUGH:
            self.begin(self._scan, group="scan", exclusive=True)

    def action_leave(self) -> None:
        """To the memories."""
        self.jmem.action_tab("memories")

    def tell(self) -> None:
        count, pane = len(self.pairs.items), self.query_one("#pairs")
        said = "pair that says" if count == 1 else "pairs that say"
        pane.border_title = Content(f"{count:,} {said} nearly the same" if count else "Near duplicates")
        looked = f"{self._scanned:,} of {self._total:,} looked at"
        pane.border_subtitle = f"all {self._total:,} looked at" if self._finished else looked
        if self._finished:
            self._empty("No two memories say nearly the same.\n\nm on a memory shows what is nearest to it.")
        else:
            self._empty(f"Looking for memories that say nearly the same…\n\n{looked}")


class SimilarPage(Judging, Page):
    """What is near to one memory, which is the left one of each pair; also what is less near than in the list of all."""

    scope = "duplicates"
    LEAST = 0.75

    def __init__(self, memory: dict[str, Any]) -> None:
        super().__init__()
        self.memory = memory
        self._read = False

    def reload(self) -> None:
        self._again((self.memory["id"],))

    def _again(self, ids: Sequence[str]) -> None:
        id, least = self.memory["id"], self.LEAST

        def near(daemon: Client) -> Near:
            memory = daemon.get(id)
            found = daemon.similar(id, limit=100, least=least)
            return Near([id], [{**one, "a": memory, "b": one["memory"]} for one in found])

        self.fetch(near, lambda found: found, group="near", exclusive=True)

    @on(Near)
    def _here(self) -> None:
        self._read = True
        self.tell()

    def tell(self) -> None:
        count, pane = len(self.pairs.items), self.query_one("#pairs")
        pane.border_title = Content(f"{count:,} near to “{title(self.memory, 40)}”" if self._read else "Near to it")
        self._empty("Nothing says nearly the same.\n\nEsc goes back." if self._read else "")


def key_of(pair: Pair) -> frozenset[str]:
    """A pair is the same whichever is left."""
    return frozenset((pair["a"]["id"], pair["b"]["id"]))


def _merge(daemon: Client, pair: Pair, keep: str, other: str) -> Settled:
    kept, gone = pair[keep], pair[other]
    daemon.merge(kept["id"], {"other": gone["id"], "version": kept["version"], "other_version": gone["version"]})
    return Settled("Kept the " + ("left one" if keep == "a" else "right one"), pair)


def _near(daemon: Client, ids: Sequence[str]) -> list[Pair]:
    """The pairs of these memories as they are now; of those that are gone, none."""
    found: list[Pair] = []
    for id in ids:
        try:
            memory = daemon.get(id)
            if memory["state"] == "active":
                found += [{**one, "a": memory, "b": one["memory"]} for one in daemon.similar(id, limit=3)]
        except NotFound:
            continue
    return found
