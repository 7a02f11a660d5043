"""Everything one can do to memories of a list: a place that has `Results` and inherits this can do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from textual import on
from textual.message import Message

from jmem.client import Client
from jmem.core.errors import JmemError, from_problem
from jmem.tui import saving
from jmem.tui.screens.base import say
from jmem.tui.screens.choosing import Choosing
from jmem.tui.tended import Advanced, Done, Fresh, Taken, Untaken, bulk_of, named, some
from jmem.tui.widgets.results import Results

Memory = dict[str, Any]
CHANGES = frozenset(
    f"memories.{name}"
    for name in ("add", "edit", "edit_outside", "tag", "archive", "pause", "delete", "purge", "restore")
)
"""Actions that a list of the past does not have."""


def _changing(action: Callable[[Tending], None]) -> Callable[[Tending], None]:
    """An action that is refused where the list shows the past."""

    @wraps(action)
    def guarded(self: Tending) -> None:
        if self.results.view.as_of:
            self.notify("This is how it was: nothing can be changed here. Esc goes back to now.", severity="warning")
        else:
            action(self)

    return guarded


class Tending(Choosing):
    """`known_tags` are offered for completion, most used first."""

    _at_work = False
    """A change is under way; the next one waits for what becomes of it."""

    @property
    def known_tags(self) -> list[tuple[str, int]]:
        """Tags with their counts."""
        return []

    # ---- one memory

    @on(Results.Chosen)
    def _clicked(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        """All of it; what one wants to do to it there, is done when it is closed."""
        from jmem.tui.screens.reader import Reader

        if (memory := self.results.current) is None:
            return
        reader = Reader(memory, self.results.words, tend=True, past=bool(self.results.view.as_of))

        def closed(wish: str | None) -> None:
            read = reader.memory
            if wish == "edit":
                self._edit(read)
            elif wish == "tag":
                self._tag([read])
            elif wish == "archive":
                self._switch([read], "archived", "Archived")
            elif wish == "delete":
                self._delete([read])
            elif wish == "history":
                self._history(read)
            elif wish == "explain":
                self._explain(read)

        self.app.push_screen(reader, closed)

    @_changing
    def action_add(self) -> None:
        """A new one, with the tags that the list is filtered by."""
        from jmem.tui.screens.editor import Editor

        tags = sorted(getattr(getattr(self, "view", None), "tags", ()))
        self.app.push_screen(Editor(tags=tags, known=self._known()), self._kept("Remembered"))

    @_changing
    def action_edit(self) -> None:
        """Here."""
        if (memory := self.results.current) is not None:
            self._edit(memory)

    def _edit(self, memory: Memory, content: str | None = None, problem: JmemError | None = None) -> None:
        from jmem.tui.screens.editor import Editor

        if memory.get("deleted"):
            self.notify("It is deleted: bring it back first", severity="warning", markup=False)
            return
        editor = Editor(memory, content=content, known=self._known(), problem=problem)
        self.app.push_screen(editor, self._kept("Saved"))

    def _known(self) -> list[str]:
        return [tag for tag, _ in self.known_tags]

    def _kept(self, word: str) -> Callable[[Memory | None], None]:
        def closed(saved: Memory | None) -> None:
            if saved is not None:
                same = saved.get("duplicate")
                self.notify("That is remembered already" if same else f"{word}: {named(saved)}", markup=False)
                self.seek(saved["id"], first=not same and word == "Remembered")
                self.reload()

        return closed

    def seek(self, id: str, *, first: bool = False) -> None:
        self.results.seek(id)
        if first and self.results.total:
            self.results.scroll_to(y=0, animate=False, force=True)  # which is where the list is read

    @_changing
    def action_edit_outside(self) -> None:
        """In $VISUAL or $EDITOR, from the text as it is now."""
        if (memory := self.results.current) is not None:
            id = memory["id"]
            self._work(lambda daemon: Fresh(daemon.get(id)))

    @on(Fresh)
    def _outside(self, fresh: Fresh) -> None:
        from jmem.tui import outside

        memory = fresh.memory
        text = outside.edited(self.jmem, memory["content"], f"jmem-{memory['id'][-6:]}-")
        if text is None or text == memory["content"] or not text.strip():
            self.notify("Nothing was changed", markup=False) if text is not None else None
            return

        async def save() -> None:
            try:
                saved = await self.remote(
                    lambda daemon: daemon.edit(memory["id"], {"content": text}, memory["version"])
                )
            except JmemError as error:
                self.post_message(Untaken(memory, text, error))
            else:
                self.post_message(Taken(saved))

        self.begin(save, group="tend")

    @on(Taken)
    def _taken(self, taken: Taken) -> None:
        self._kept("Saved")(taken.memory)

    @on(Untaken)
    def _untaken(self, untaken: Untaken) -> None:
        self._edit(untaken.memory, untaken.text, untaken.error)

    # ---- what is known of one

    def action_history(self) -> None:
        """Its versions."""
        if (memory := self.results.current) is not None:
            self._history(memory)

    def _history(self, memory: Memory) -> None:
        from jmem.tui.screens.history import HistoryPage

        self.app.push_screen(HistoryPage(memory))

    def action_explain(self) -> None:
        """Why it stands where it stands, and who got it."""
        if (memory := self.results.current) is not None:
            self._explain(memory)

    def _explain(self, memory: Memory) -> None:
        from jmem.tui.screens.explain import Asked, ExplainPage

        results = self.results
        scores = [(row.get("explain") or {}).get("text", {}).get("score") or 0.0 for row in results.rows.values()]
        asked = Asked(results.view.text, results.cursor + 1, results.total, max(scores, default=0.0))
        self.app.push_screen(ExplainPage(memory, asked if results.view.searching else None))

    def action_similar(self) -> None:
        """What says nearly the same."""
        from jmem.tui.screens.similar import SimilarPage

        if (memory := self.results.current) is not None:
            if memory.get("deleted"):
                self.notify("It is deleted: bring it back first", severity="warning", markup=False)
            else:
                self.app.push_screen(SimilarPage(memory))

    # ---- one, or all that are marked

    def _each(self, word: str, operation: dict[str, Any], memories: Sequence[Memory]) -> None:
        """The same operation on each, as one action, or as few as can be."""
        if not memories:
            return
        if self._at_work:
            self.notify("One moment: the change before is not done yet", severity="warning", markup=False)
            return
        self._at_work = True
        operations = [{**operation, "id": memory["id"]} for memory in memories]

        def run(daemon: Client) -> Message:
            results = saving.at_once(
                daemon, operations, lambda done: self.post_message(Advanced(done, len(operations)))
            )
            return Done(word, memories, results, bulk_of(daemon, len(operations)))

        if len(operations) > saving.STEP:
            self.progress(0, len(operations))
        self._work(run)

    @on(Advanced)
    def _advanced(self, advanced: Advanced) -> None:
        self.progress(advanced.done, advanced.of)

    def progress(self, done: int, of: int) -> None:
        """Show how far a long change is; 0 of 0 when it is over."""

    def missed(self, error: JmemError) -> None:
        self._at_work = False
        super().missed(error)
        self.progress(0, 0)
        self.reload()

    @on(Done)
    def _done(self, done: Done) -> None:
        self._at_work = False
        self.progress(0, 0)
        problems = [from_problem(result["problem"]) for result in done.results if result["status"] >= 400]
        count = len(done.results) - len(problems)
        if done.bulk is not None:
            self.jmem.bulks.append(done.bulk)
        if problems:
            say(self, problems[0])
        purged = [result["purged"] for result in done.results if "purged" in result]
        if count and not purged:
            what = named(done.memories[0]) if len(done.results) == 1 else f"{count:,} memories"
            self.notify(f"{done.word}: {what}{self.jmem.way_back()}", markup=False)
        self.results.marked.clear()
        self.reload()
        if purged:
            from jmem.tui.receipt import receipt
            from jmem.tui.screens.confirm import Sheet

            self.app.push_screen(Sheet(*receipt(purged, self.app.theme_variables)))

    @_changing
    def action_tag(self) -> None:
        """Add and remove tags."""
        self._tag(self.results.chosen)

    def _tag(self, memories: Sequence[Memory]) -> None:
        from jmem.tui.screens.tags import Tagger

        def decided(changes: tuple[list[str], list[str]] | None) -> None:
            if changes is not None:
                add, remove = changes
                operation = {
                    "op": "edit",
                    **({"add_tags": add} if add else {}),
                    **({"remove_tags": remove} if remove else {}),
                }
                self._each("Tagged", operation, memories)

        if memories:
            self.app.push_screen(Tagger(memories, self.known_tags), decided)

    @_changing
    def action_archive(self) -> None:
        """Or bring back."""
        self._switch(self.results.chosen, "archived", "Archived")

    @_changing
    def action_pause(self) -> None:
        """Or bring back."""
        self._switch(self.results.chosen, "paused", "Paused")

    def _switch(self, chosen: Sequence[Memory], state: str, word: str) -> None:
        memories = [memory for memory in chosen if not memory.get("deleted") and memory["state"] != "review"]
        if not memories and chosen:
            self.notify("Deleted and waiting memories have no such state", severity="warning", markup=False)
        back = all(memory["state"] == state for memory in memories)
        self._each("Active again" if back else word, {"op": "edit", "state": "active" if back else state}, memories)

    @_changing
    def action_delete(self) -> None:
        """At once; asks only for several."""
        self._delete(self.results.chosen)

    def _delete(self, chosen: Sequence[Memory]) -> None:
        from jmem.tui.screens.confirm import Answer, Choice

        memories = [memory for memory in chosen if not memory.get("deleted")]
        if len(memories) < 2:
            self._each("Deleted", {"op": "delete"}, memories)
            return

        def decided(answer: str | None) -> None:
            if answer:
                self._each("Deleted", {"op": "delete"}, memories)

        answers = (Answer("", "n", "leave them"), Answer("yes", "y", f"delete {len(memories):,}", dangerous=True))
        self.app.push_screen(Choice(f"Delete {len(memories):,} memories?", some(memories), answers), decided)

    @_changing
    def action_purge(self) -> None:
        """Asks, always; then shows the receipt."""
        from jmem.tui.screens.confirm import Answer, Choice

        memories = self.results.chosen
        if not memories:
            return

        def decided(answer: str | None) -> None:
            if answer:
                self._each("Forgotten", {"op": "purge"}, memories)

        which = "this memory" if len(memories) == 1 else f"{len(memories):,} memories"
        body = f"{some(memories)}\n\nText, history and vector go from every place. This can't be undone."
        answers = (Answer("", "n", "keep"), Answer("yes", "y", "forget for ever", dangerous=True))
        self.app.push_screen(Choice(f"Forget {which} for ever?", body, answers, danger=True), decided)

    @_changing
    def action_restore(self) -> None:
        """Of the deleted ones."""
        memories = [memory for memory in self.results.chosen if memory.get("deleted")]
        if not memories and self.results.chosen:
            self.notify("It is not deleted; h shows its earlier versions", markup=False)
        self._each("Back again", {"op": "restore"}, memories)
