"""What comes of tending memories, as messages, and how memories are named in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.message import Message

from jmem.client import Client
from jmem.core.errors import JmemError
from jmem.tui import saving, shown
from jmem.tui.undoing import PREVIEW, Bulk

Memory = dict[str, Any]
_HELD = ("id", "state", "deleted", "tags", "version", "privacy", "client", "created_at", "occurred_at", "speaker")
"""What is kept of each of many marked memories."""


class Done(Message):
    """A change of some memories: `word` is what became of them, `results` are the daemon's."""

    def __init__(self, word: str, memories: Sequence[Memory], results: list[Any], bulk: Bulk | None) -> None:
        super().__init__()
        self.word, self.memories, self.results, self.bulk = word, memories, results, bulk


class Advanced(Message):
    """How far a change of many is."""

    def __init__(self, done: int, of: int) -> None:
        super().__init__()
        self.done, self.of = done, of


class Marked(Message):
    """Memories of the list, to be marked; with the first of them the marks begin anew."""

    def __init__(self, memories: list[Memory], *, first: bool) -> None:
        super().__init__()
        self.memories, self.first = memories, first


class Copied(Message):
    """Texts for the clipboard."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__()
        self.texts = texts


class Fresh(Message):
    """A memory as it is now, for the person's own editor."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory


class Taken(Message):
    """A memory as it was saved with the text of the person's own editor."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory


class Untaken(Message):
    """The text of the person's own editor could not be saved."""

    def __init__(self, memory: Memory, text: str, error: JmemError) -> None:
        super().__init__()
        self.memory, self.text, self.error = memory, text, error


def slim(memory: Memory) -> Memory:
    """Enough of a memory to act on it, with the beginning of its text."""
    return {**{name: memory[name] for name in _HELD}, "content": memory["content"][:80], "slim": True}


def named(memory: Mapping[str, Any]) -> str:
    """The beginning of its text, in quotes."""
    return f"“{shown.fit(shown.headline(memory), PREVIEW).rstrip()}”"


def some(memories: Sequence[Memory]) -> str:
    """Their beginnings, the first ones only."""
    lines = [shown.fit(shown.headline(memory), 68).rstrip() for memory in memories[:6]]
    return "\n".join(lines + ([f"and {len(memories) - 6:,} more"] if len(memories) > 6 else []))


def bulk_of(daemon: Client, count: int) -> Bulk | None:
    """The actions of a change that took several, so that one undo takes all of them back."""
    steps = -(-count // saving.STEP)
    if steps < 2:
        return None
    done = daemon.log({"limit": steps})["actions"]
    return Bulk(done[-1]["at"], done[-1]["action"], done[0]["action"])
