"""A list of pairs of memories, the one under the cursor side by side, and what one can do about it."""

from __future__ import annotations

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
from jmem.tui.widgets.rows import Rows

Pair = dict[str, Any]
NARROW, WIDE, LOW = 100, 120, 18
SETTLE_S = 0.8
"""Between two looks at what others change meanwhile."""
ASKED_AGAIN = 20
"""Changed memories that are compared again at once; after more, everything is looked at again by F5."""
_DECIDES = frozenset(("keep_left", "keep_right", "merge", "distinct"))


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


def side_by_side(place: str, items: str, side: str) -> str:
    """The style of a place with a list (`items`) and two texts (`side`) beside each other below it."""
    return f"""
    {place} .pane {{ border: round $panel; border-title-color: $foreground 70%; border-subtitle-color: $foreground 60%; }}
    {place} .pane:focus-within, {place} .pane:focus {{ border: round $primary; }}
    {place} #both {{ height: 1fr; }}
    {place} {side} {{ width: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }}
    {place} {side} Static {{ height: auto; }}
    {place} #empty {{ display: none; padding: 1 2; color: $foreground 70%; }}
    {place}.-empty #empty {{ display: block; }}
    {place}.-empty {items}, {place}.-empty #both {{ display: none; }}
    {place}.-low .pane {{ border: none; }}
    {place}.-low {side} {{ border-top: solid $panel; }}
    """


class Judging(Place):
    """A list of pairs, the one under the cursor side by side, and what one can do about it."""

    DEFAULT_CSS = side_by_side("Judging", "PairList", "Side")
    AUTO_FOCUS = "PairList"

    def __init__(self) -> None:
        super().__init__()
        self.pairs = PairList()
        self._noted: list[Pair] = []
        self._done: list[str] = []
        """what was done last, "note" or "change": what undo takes back first"""
        self._stale: set[str] = set()
        self._busy = False

    def content(self) -> ComposeResult:
        with Vertical(id="pairs", classes="pane"):
            yield self.pairs
            yield Static("", id="empty", markup=False)
        with Horizontal(id="both"):
            yield Side(id="left", classes="pane")
            yield Side(id="right", classes="pane")

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < LOW, "-low")
        self._fit(len(self.pairs.items))

    # ---- what is listed

    def put(self, pairs: Sequence[Pair], *, keep: bool = True) -> None:
        """The pairs, each once, however it was found, the most alike first."""
        unique = {key_of(pair): pair for pair in pairs}
        self._fit(len(unique))
        self.pairs.show(sorted(unique.values(), key=lambda pair: -pair["score"]), keep=keep)
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
        self.put([*self.pairs.items, back.pair])
        self.pairs.cursor = [key_of(pair) for pair in self.pairs.items].index(key_of(back.pair))
        self.notify("A pair again", markup=False)

    # ---- what others do meanwhile

    def memory_changed(self, change: Changed) -> None:
        self._stale.add(change.id)
        self.soon(SETTLE_S, self._look_again)

    def _look_again(self) -> None:
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
