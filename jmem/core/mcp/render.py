"""Answers as data and as text that a model can read, within the size that every client takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jmem.core.model import MAX_ANSWER_BYTES, Memory

MARGIN_BYTES = 16 * 1024
"""Left for everything in an answer that is not its memories."""
Item = dict[str, Any]

_ABOUT = (("speaker", "speaker"), ("source", "source"), ("client", "from"))
_SHOWN = (
    "id",
    "content",
    "tags",
    "created_at",
    "occurred_at",
    "expires_at",
    "speaker",
    "source",
    "client",
    "superseded_by",
)


def item(memory: Memory, **more: Any) -> Item:
    """The wire shape of a memory for an assistant: what it can use, without what is not set."""
    whole = {name: getattr(memory, name) for name in _SHOWN} | more
    whole["tags"] = list(memory.tags)
    if memory.state == "review":
        whole["state"] = memory.state
    return {name: value for name, value in whole.items() if value is not None}


def lines(item: Mapping[str, Any], number: int | None = None) -> str:
    """A memory as text: its content, then on a line of its own what else there is to know, the id first."""
    about = [f"id {item['id']}", (item.get("occurred_at") or item.get("created_at") or "")[:10]]
    if item.get("tags"):
        about.append("tags " + ", ".join(item["tags"]))
    about += [f"{word} {item[name]}" for name, word in _ABOUT if item.get(name)]
    if item.get("expires_at"):
        about.append(f"holds until {item['expires_at'][:16].replace('T', ' ')} UTC")
    if item.get("superseded_by"):
        about.append(f"no longer holds: superseded by {item['superseded_by']}")
    if item.get("also"):
        about.append("the same again under " + ", ".join(item["also"]))
    lead = "-" if number is None else f"{number}."
    return f"{lead} {item['content']}\n  ({'; '.join(part for part in about if part)})"


@dataclass(frozen=True, slots=True)
class Fitted:
    """The items that fit into one answer, as data and as text."""

    items: list[Item]
    texts: list[str]
    left_out: int

    @property
    def text(self) -> str:
        """The texts, a line apart."""
        return "\n".join(self.texts)


def fit(items: Sequence[Item], *, numbered: bool = False) -> Fitted:
    """As many of the first items as one answer holds; it holds at least one, as large as a memory can be.

    An answer holds each item twice: as data and as text.
    """
    room = MAX_ANSWER_BYTES - MARGIN_BYTES
    texts: list[str] = []
    for number, entry in enumerate(items, 1):
        text = lines(entry, number if numbered else None)
        room -= _size(entry) + _size(text)
        if room < 0:
            break
        texts.append(text)
    return Fitted(list(items[: len(texts)]), texts, len(items) - len(texts))


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
