"""`search` and `fetch` as ChatGPT's connectors call them: one text in, one JSON document out, with addresses to cite."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from jmem.core.mcp.arguments import Arguments
from jmem.core.mcp.outcomes import Outcome
from jmem.core.mcp.render import item
from jmem.core.mcp.tools import Tool
from jmem.core.model import Memory

MAX_TITLE = 80
_NO_METADATA = ("id", "content")


class Find(Arguments):
    """What search takes."""

    query: str = Field(description="What you want to know, in plain words: a question or a topic.")


class Fetch(Arguments):
    """What fetch takes."""

    id: str = Field(description="A whole id, exactly as search gave it.")


_TEXT = {"type": "string"}
_FOUND = {
    "type": "object",
    "properties": {"id": _TEXT, "title": _TEXT, "url": _TEXT},
    "required": ["id", "title", "url"],
}
SEARCH = Tool(
    "search",
    "Find memories",
    "Find what the user's long-term memory holds about a question or a topic. Answers ids, titles and addresses, best "
    "first; fetch gives the whole text of one. In a conversation search_memory is better: it answers whole memories at once.",
    Find,
    {"type": "object", "properties": {"results": {"type": "array", "items": _FOUND}}, "required": ["results"]},
    reads=True,
)
FETCH = Tool(
    "fetch",
    "Read a memory",
    "Read one memory whole, by an id that search gave.",
    Fetch,
    {
        "type": "object",
        "properties": {"id": _TEXT, "title": _TEXT, "text": _TEXT, "url": _TEXT, "metadata": {"type": "object"}},
        "required": ["id", "title", "text", "url"],
    },
    reads=True,
)


def results(memories: Sequence[Memory], address: Callable[[str], str]) -> Outcome:
    """Of search."""
    return _both({"results": [{"id": m.id, "title": title(m.content), "url": address(m.id)} for m in memories]})


def document(memory: Memory, address: str) -> Outcome:
    """Of fetch."""
    about = {name: value for name, value in item(memory).items() if name not in _NO_METADATA}
    return _both(
        {"id": memory.id, "title": title(memory.content), "text": memory.content, "url": address, "metadata": about}
    )


def title(content: str) -> str:
    """The first words of a text, on one line."""
    line = " ".join(content.split())
    return line if len(line) <= MAX_TITLE else line[: MAX_TITLE - 1].rsplit(" ", 1)[0] + "…"


def _both(data: dict[str, Any]) -> Outcome:
    return Outcome(data, json.dumps(data, ensure_ascii=False))
