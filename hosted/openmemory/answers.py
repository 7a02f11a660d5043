"""What OpenMemory's clients read. Ids of apps and categories are made from their names, always in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid5

from jmem.core.model import Memory as Stored
from jmem.core.model import milliseconds
from jmem.core.wire.answers import Reply
from jmem.core.wire.common import bounded

_APPS = UUID("5d0a8a5e-2a0c-5f0b-9f0e-3f2f6d1c7a01")
_CATEGORIES = UUID("5d0a8a5e-2a0c-5f0b-9f0e-3f2f6d1c7a02")


class Item(Reply):
    """A memory in a list. `created_at` are seconds since 1970."""

    id: str
    content: str
    created_at: int
    state: str
    app_id: str
    app_name: str
    categories: list[str]
    metadata_: dict[str, Any]


class Whole(Item):
    """A memory by itself; `text` is its content."""

    text: str


class Saved(Reply):
    """A memory that was just written; its times are ISO 8601."""

    id: str
    user_id: str
    content: str
    text: str
    created_at: str
    updated_at: str
    state: str
    app_id: str
    app_name: str
    categories: list[str]
    metadata_: dict[str, Any]


class Page(Reply):
    """Some of the memories; `truncated` when not all of the page fits into an answer: a smaller one shows the rest."""

    items: list[Item]
    total: int
    page: int
    size: int
    pages: int
    truncated: bool | None = None


class Category(Reply):
    """A tag."""

    id: str
    name: str
    description: str
    created_at: str | None
    updated_at: str | None


class Categories(Reply):
    """The tags of active and paused memories."""

    categories: list[Category]
    total: int


class Message(Reply):
    """What was done."""

    message: str


class LogEntry(Reply):
    """A program got a memory."""

    id: str
    memory_id: str
    app_id: str
    app_name: str
    accessed_at: str
    access_type: str


class AccessLog(Reply):
    """Newest first."""

    total: int
    page: int
    page_size: int
    logs: list[LogEntry]


class App(Reply):
    """A program that wrote or read memories."""

    id: str
    name: str
    is_active: bool
    total_memories_created: int
    total_memories_accessed: int


class Apps(Reply):
    """A page of programs."""

    total: int
    page: int
    page_size: int
    apps: list[App]


class AppDetails(App):
    """One program."""

    first_accessed: str | None
    last_accessed: str | None


class AppMemories(Reply):
    """What a program wrote; `truncated` as in Page."""

    total: int
    page: int
    page_size: int
    memories: list[Item]
    truncated: bool | None = None


class Accessed(Reply):
    """A memory, and how often a program got it."""

    memory: Item
    access_count: int


class AppAccessed(Reply):
    """What a program got, the most often got first."""

    total: int
    page: int
    page_size: int
    memories: list[Accessed]


class Stats(Reply):
    """How much there is."""

    total_memories: int
    total_apps: int
    apps: list[App]


class Config(Reply):
    """What this backend runs on, without secrets; it is read only."""

    openmemory: dict[str, Any]
    mem0: dict[str, Any]


def app_id(name: str) -> str:
    """The id of a program."""
    return str(uuid5(_APPS, name))


def category_id(name: str) -> str:
    """The id of a tag."""
    return str(uuid5(_CATEGORIES, name))


def item(memory: Stored) -> dict[str, Any]:
    """A memory in a list."""
    return {
        "id": memory.id, "content": memory.content, "created_at": milliseconds(memory.created_at) // 1000,
        "state": "deleted" if memory.deleted else memory.state, "app_id": app_id(memory.client), "app_name": memory.client,
        "categories": list(memory.tags), "metadata_": dict(memory.metadata),
    }  # fmt: skip


def fitting(name: str, memories: Iterable[Stored]) -> dict[str, Any]:
    """`{name: [items]}`, as many as fit into an answer."""
    items = [item(memory) for memory in memories]
    room = len(bounded(items))
    return {name: items[:room], **({"truncated": True} if room < len(items) else {})}


def saved(memory: Stored, user_id: UUID) -> dict[str, Any]:
    """A memory that was just written."""
    times = {"created_at": memory.created_at, "updated_at": memory.updated_at}
    return {**item(memory), **times, "user_id": str(user_id), "text": memory.content}
