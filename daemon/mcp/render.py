"""Answers as data and as text that a model can read, within the size that every client takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jmem.core.model import MAX_ANSWER_BYTES, Memory

MARGIN_BYTES = 16 * 1024
"""Left for everything in an answer that is not its memories."""
MIN_TEXT_CHARS = 500
Item = dict[str, Any]

_ABOUT = (("speaker", "speaker"), ("source", "source"), ("client", "from"))
_SHOWN = ("id", "content", "tags", "created_at", "occurred_at", "speaker", "source", "client")


def item(memory: Memory, **more: Any) -> Item:
    """The wire shape of a memory for an assistant: what it can use, without what is not set."""
    whole = {name: getattr(memory, name) for name in _SHOWN} | more
    whole["tags"] = list(memory.tags)
    return {name: value for name, value in whole.items() if value is not None}


def lines(item: Mapping[str, Any], number: int | None = None, *, limit: int | None = None) -> str:
    """A memory as text: its content, then on a line of its own what else there is to know, the id first."""
    content = item["content"]
    if limit is not None and len(content) > limit:
        content = content[:limit] + f"… (cut here; the whole text has {len(content):,} characters)"
    about = [f"id {item['id']}", (item.get("occurred_at") or item.get("created_at") or "")[:10]]
    if item.get("tags"):
        about.append("tags " + ", ".join(item["tags"]))
    about += [f"{word} {item[name]}" for name, word in _ABOUT if item.get(name)]
    lead = "-" if number is None else f"{number}."
    return f"{lead} {content}\n  ({'; '.join(part for part in about if part)})"


@dataclass(frozen=True, slots=True)
class Fitted:
    """The items that fit into one answer, as data and as text."""

    items: Sequence[Item]
    text: str
    left_out: int


def fit(items: Sequence[Item], *, numbered: bool = False) -> Fitted:
    """As many of the first items as one answer holds; at least one, whose text is cut if it must be.

    An answer holds each item twice (data and text), in JSON, where a character takes up to six bytes.
    """
    room = MAX_ANSWER_BYTES - MARGIN_BYTES
    texts: list[str] = []
    for number, entry in enumerate(items, 1):
        text = lines(entry, number if numbered else None)
        size = _size(entry) + _size(text)
        if size > room:
            if texts:
                break
            text = lines(entry, number if numbered else None, limit=MIN_TEXT_CHARS)
            size = _size(entry) + _size(text)
        room -= size
        texts.append(text)
    return Fitted(items[: len(texts)], "\n".join(texts), len(items) - len(texts))


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
