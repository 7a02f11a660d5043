"""What is read for the list of memories, as messages."""

from __future__ import annotations

from typing import Any

from textual.message import Message

from jmem.core.errors import JmemError
from jmem.tui.view import View


class Found(Message):
    """What a view shows now: `rows` from `offset` on, of `total`."""

    def __init__(self, view: View, rows: list[dict[str, Any]], total: int, offset: int, about: dict[str, Any]) -> None:
        super().__init__()
        self.view, self.rows, self.total, self.offset, self.about = view, rows, total, offset, about


class Failed(Message):
    """The daemon could not answer."""

    def __init__(self, error: JmemError) -> None:
        super().__init__()
        self.error = error


class Rows(Message):
    """Rows of the list from `offset` on."""

    def __init__(self, view: View, offset: int, rows: list[dict[str, Any]] | None) -> None:
        super().__init__()
        self.view, self.offset, self.rows = view, offset, rows


class Counted(Message):
    """Tags and numbers for the filters."""

    def __init__(self, tags: list[tuple[str, int]], stats: dict[str, Any]) -> None:
        super().__init__()
        self.tags, self.stats = tags, stats


class Past(Message):
    """The moment to look back to."""

    def __init__(self, moment: str) -> None:
        super().__init__()
        self.moment = moment
