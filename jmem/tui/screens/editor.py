"""Writing a memory, a new one or one that is there: its text, and the fields that one changes.

Nothing that was written is ever lost: the dialog closes only when the daemon has acknowledged it, or when the person
says so. What others changed meanwhile is never overwritten unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Checkbox, Input, Static, TextArea

from jmem.core.errors import Conflict, JmemError, NotFound, SecretFound
from jmem.core.model import MAX_CONTENT_BYTES
from jmem.tui import outside, saving, shown
from jmem.tui.feed import Changed
from jmem.tui.handing import (
    ARROW,
    LINES,
    NEW,
    Disputed,
    Hinted,
    MemorySuggester,
    NotSaved,
    Saved,
    TagSuggester,
    said,
    understood,
    values_of,
    write,
    written,
)  # fmt: skip
from jmem.tui.screens import confirm, conflict
from jmem.tui.screens.base import Dialog
from jmem.tui.screens.confirm import Answer, Choice
from jmem.tui.widgets.keybar import KeyBar
from jmem.tui.widgets.writing import Tick, WriteArea, WriteLine


class Editor(Dialog[dict[str, Any] | None]):
    """Gives the memory as the daemon has it now, None where nothing was saved.

    `memory` None writes a new one; `content` is put in the place of its text, and `problem` told, when an edit that
    was made elsewhere could not be saved.
    """

    scope = "editor"
    DEFAULT_CSS = """
    Editor > .box { width: 100; height: 100%; padding: 0; max-height: 40; }
    Editor .box.-wide { height: 80%; }
    Editor #problem { height: auto; max-height: 4; padding: 0 1; color: $error; display: none; }
    Editor #problem.-told { display: block; }
    Editor #fields { height: auto; max-height: 6; border-top: solid $panel; scrollbar-size-vertical: 1; }
    Editor #fields Horizontal { height: 1; }
    Editor #fields .name { width: 11; padding: 0 0 0 1; color: $foreground 60%; }
    Editor #fields .hint { width: auto; max-width: 50%; padding: 0 1; color: $foreground 60%; text-wrap: nowrap; text-overflow: ellipsis; }
    Editor #fields .hint.-bad { color: $error; }
    Editor WriteLine { background: $surface; }
    Editor WriteArea { background: $surface; }
    Editor.-low > .box { border: none; }
    Editor.-low #fields { max-height: 1; border: none; }
    Editor.-low #problem { max-height: 1; }
    """

    def __init__(
        self,
        memory: dict[str, Any] | None = None,
        *,
        content: str | None = None,
        tags: Sequence[str] = (),
        known: Sequence[str] = (),
        problem: JmemError | None = None,
    ) -> None:
        super().__init__()
        self._base: Mapping[str, Any] = memory if memory is not None else {**NEW, "tags": list(tags)}
        self._content, self._known, self._problem = content, known, problem
        self._texts = written(self._base)
        self._saving = False
        self._also = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            id = self._base.get("id")
            box.border_title = Content(f"Edit {id[-6:]}" if id else "New memory")
            yield WriteArea(self._base["content"], id="content", placeholder="What is to be remembered")
            yield Static("", id="problem", markup=False)
            with VerticalScroll(id="fields", can_focus=False):
                for name, label, example in LINES:
                    with Horizontal():
                        yield Static(label, classes="name")
                        yield WriteLine(
                            self._texts[name], id=name, placeholder=example, suggester=self._suggester(name)
                        )
                        yield Static("", id=f"{name}-hint", classes="hint", markup=False)
                with Horizontal():
                    yield Static("Privacy", classes="name")
                    local = self._base["privacy"] == "local"
                    yield Tick("never leaves this machine", local, id="privacy", compact=True)
        yield KeyBar()

    def _suggester(self, field: str) -> Suggester | None:
        if field == "tags":
            return TagSuggester(self._known)
        if field == "supersedes":
            own = str(self._base.get("id", ""))
            return MemorySuggester(self.remote, own, lambda text: self.post_message(Hinted(field, f"→ takes: {text}")))
        return None

    def on_mount(self) -> None:
        area = self.query_one(WriteArea)
        if self._content is not None:
            area.put(self._content)
        area.focus()
        self._count()
        if isinstance(self._problem, Conflict):
            self.action_save()  # asks how the two go together
        elif self._problem is not None:
            self.post_message(NotSaved(self._problem))

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < 16, "-low")
        self.query_one(".box").set_class(event.size.width > 104 and event.size.height > 30, "-wide")

    # ---- what is written

    def _touched(self) -> dict[str, str]:
        """The fields that differ from what they were, as texts."""
        lines = {name: self.query_one(f"#{name}", WriteLine).content for name, *_ in LINES}
        touched = {name: text for name, text in lines.items() if text != self._texts[name].strip()}
        content = self.query_one(WriteArea).content
        if content != self._base["content"]:
            touched["content"] = content
        privacy = "local" if self.query_one(Checkbox).value else "synced"
        if privacy != self._base["privacy"]:
            touched["privacy"] = privacy
        return touched

    @property
    def changed(self) -> bool:
        """Whether something would be lost by leaving."""
        return bool(self._touched())

    @staticmethod
    def _values(touched: Mapping[str, str]) -> dict[str, Any]:
        """As the daemon takes them; raises Invalid with the field. Slow where a time is in words."""
        return values_of(touched)

    @on(Input.Changed, "#supersedes")
    def _completed(self, event: Input.Changed) -> None:
        """Of words that were completed to an id, the id."""
        if ARROW in event.value:
            line = self.query_one("#supersedes", WriteLine)
            line.value = event.value.rpartition(ARROW)[2]
            line.action_end()

    @on(TextArea.Changed)
    @on(Input.Changed)
    @on(Checkbox.Changed)
    def _count(self) -> None:
        size = len(self.query_one(WriteArea).content.encode())
        parts = [f"{size:,} of {MAX_CONTENT_BYTES:,} bytes"] if size > MAX_CONTENT_BYTES // 2 else [f"{size:,} bytes"]
        if size > MAX_CONTENT_BYTES:
            parts.append("too long")
        if self.changed:
            parts.append("not saved yet")
        self.query_one(".box").border_subtitle = Content(" · ".join(parts))

    # ---- hints

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """Say what a line that one leaves is understood as."""
        line = event.widget
        if isinstance(line, WriteLine) and line.id and line.id != "tags":
            understand = partial(self._understand, line.id, line.content)
            self.begin(understand, group=f"hint-{line.id}", exclusive=True)

    async def _understand(self, field: str, text: str) -> None:
        if not text or text == self._texts[field].strip():
            self.post_message(Hinted(field, ""))
        else:
            self.post_message(await self.remote(lambda daemon: understood(daemon, field, text)))

    @on(Hinted)
    def _hint(self, hinted: Hinted) -> None:
        hint = self.query_one(f"#{hinted.field}-hint", Static)
        hint.set_class(hinted.bad, "-bad")
        hint.update(hinted.text)

    # ---- saving

    def action_save(self) -> None:
        """Hand it to the daemon."""
        if self._saving:
            return
        touched = self._touched()
        if not self.query_one(WriteArea).content.strip():
            self._tell(JmemError("There is nothing to remember yet", fix="write something, or Esc"))
        elif not touched:
            self.dismiss(None)
        else:
            self._send(touched)

    def _send(self, touched: Mapping[str, str], *, secrets: str = "refuse", as_new: bool = False) -> None:
        self._saving = True
        self.query_one(".box").border_subtitle = Content("saving…")
        base = None if as_new or "id" not in self._base else self._base
        self.begin(partial(self._hand_over, base, dict(touched), secrets), group="save")

    async def _hand_over(self, base: Mapping[str, Any] | None, touched: dict[str, str], secrets: str) -> None:
        """Save, and merge with what others did to other fields."""
        blank = {name: self._base[name] for name in NEW}
        try:
            self.post_message(
                await self.remote(lambda daemon: write(daemon, base, blank, self._values(touched), secrets))
            )
        except JmemError as error:
            self.post_message(NotSaved(error))

    @on(Saved)
    def _saved(self, saved: Saved) -> None:
        if saved.also:
            self.notify(f"Somebody else's change is kept beside yours: {saved.also}", markup=False)
        self.dismiss(saved.memory)

    @on(NotSaved)
    def _not_saved(self, event: NotSaved) -> None:
        self._saving = False
        error = event.error
        self._count()
        if isinstance(error, SecretFound):
            self._ask_about_secret(error)
        elif isinstance(error, NotFound) and error.detail.get("field") is None and "id" in self._base:
            self._ask_about_gone(error)
        else:
            self._tell(error)

    def _tell(self, error: JmemError) -> None:
        text = Text(f"Not saved: {said(error)}", "bold")
        remedy = "Your text stays here; ctrl+s tries again." if error.status >= 500 else error.fix
        text.append(f"\n{remedy}" if remedy else "", "not bold")
        problem = self.query_one("#problem", Static)
        problem.update(text)
        problem.add_class("-told")
        field = error.detail.get("field")
        if field in {name for name, *_ in LINES}:
            self.query_one(f"#{field}").focus()

    def _clear(self) -> None:
        self.query_one("#problem", Static).remove_class("-told")

    def _ask_about_secret(self, error: SecretFound) -> None:
        kinds = ", ".join(str(kind).replace("_", " ") for kind in error.detail.get("kinds", ()))
        body = (
            f"The text carries what looks like a secret{f' ({kinds})' if kinds else ''}. Nothing is saved yet.\n\n"
            "Masked, a mark stands in its place. Kept, every program that you connected can read it."
        )

        def decided(answer: str | None) -> None:
            if answer:
                self._clear()
                self._send(self._touched(), secrets=answer)

        self.app.push_screen(confirm.secret(body), decided)

    def _ask_about_gone(self, error: JmemError) -> None:
        def decided(answer: str | None) -> None:
            if answer:
                self._send({"content": self.query_one(WriteArea).content, **self._touched()}, as_new=True)

        body = "This memory was deleted while you were editing it. Your text is still here."
        answers = (Answer("new", "s", "save it as a new memory"), Answer("", "e", "go on editing"))
        self.app.push_screen(Choice("Deleted meanwhile", body, answers), decided)

    # ---- two writers

    def memory_changed(self, change: Changed) -> None:
        """Tell it while one writes; saving asks how the two go together."""
        if change.id == self._base.get("id") and not self._saving:
            who = shown.one_line(change.client) or "Somebody"
            how = "deleted" if change.kind == "delete" else "changed"
            self._note(f"{who} {how} this memory just now. What you write is safe; saving shows where the two differ.")

    def _note(self, text: str) -> None:
        problem = self.query_one("#problem", Static)
        problem.update(Text(text))
        problem.add_class("-told")

    @on(Disputed)
    def _disputed(self, event: Disputed) -> None:
        self._saving = False
        self._count()
        dialog = conflict.ConflictDialog(event.theirs, event.mine, event.fields, event.by, self.app.theme_variables)
        self.app.push_screen(dialog, self._decided(event))

    def _decided(self, event: Disputed) -> Callable[[str | None], None]:
        def decided(answer: str | None) -> None:
            touched = self._touched()
            self._rebase(event.theirs, touched)
            if answer == conflict.THEIRS:
                for name in event.fields:
                    self._set(name, event.theirs)
                touched = self._touched()
                if not touched:
                    self.dismiss(event.theirs)
                    return
            if answer in (conflict.MINE, conflict.THEIRS):
                self._send(touched)
            else:
                what = saving.named(event.fields)
                self._note(f"Saving now puts yours in the place of what {event.by or 'somebody else'} wrote: {what}.")

        return decided

    def _rebase(self, theirs: dict[str, Any], touched: Mapping[str, str]) -> None:
        """From now on theirs is what I change; fields that I did not touch become theirs."""
        self._base, self._texts = theirs, written(theirs)
        for name in saving.FIELDS:
            if name not in touched:
                self._set(name, theirs)
        self._count()

    def _set(self, name: str, memory: Mapping[str, Any]) -> None:
        if name == "content":
            self.query_one(WriteArea).put(memory["content"])
        elif name == "privacy":
            self.query_one(Checkbox).value = memory["privacy"] == "local"
        else:
            self.query_one(f"#{name}", WriteLine).value = self._texts[name]

    # ---- leaving

    def action_outside(self) -> None:
        """Go on in the person's own editor."""
        area = self.query_one(WriteArea)
        text = outside.edited(
            self.jmem, area.content, f"jmem-{self._base['id'][-6:]}-" if "id" in self._base else "jmem-"
        )
        if text is not None and text != area.content:
            area.put(text)
        area.focus()

    def action_leave(self) -> None:
        """Out; asks only where something would be lost."""
        if not self.changed:
            self.dismiss(None)
            return
        confirm.leave_unsaved(self, self.action_save)
