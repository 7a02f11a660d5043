"""What comes of tending memories, as messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.message import Message

from jmem.tui.undoing import Bulk

Memory = dict[str, Any]


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
