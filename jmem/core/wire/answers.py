"""What routes of a daemon and of an account answer, for their OpenAPI documents; built when one is asked for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Reply(BaseModel):
    """An answer; a newer daemon may add fields."""

    model_config = ConfigDict(extra="allow", defer_build=True)


class Problem(Reply):
    """RFC 9457: what went wrong (`code` is stable), and the command or field that mends it."""

    type: str
    title: str
    status: int
    code: str
    fix: str | None = None


class Memory(Reply):
    """A memory."""

    id: str
    content: str
    tags: list[str]
    state: str
    client: str
    source: str | None
    metadata: dict[str, Any]
    privacy: str
    created_at: str
    updated_at: str
    occurred_at: str | None
    expires_at: str | None
    thread: str | None
    speaker: str | None
    supersedes: str | None
    superseded_by: str | None = None
    deleted: bool
    version: str


class Near(Reply):
    """A memory that resembles the one that was added."""

    id: str
    content: str
    score: float


class MemoryAdded(Memory):
    """The memory that was stored, or the equal one that was there (`duplicate`).

    `differs` names the given fields that the memory which was there does not have like that; they were not taken.
    """

    duplicate: bool
    differs: list[str]
    similar: list[Near]


class Inferred(Reply):
    """What an add with `infer` stored; `inferred` is false when the text was stored as it was given, `reason` says why."""

    memories: list[Memory]
    superseded: list[str]
    inferred: bool


class MemoryEdited(Memory):
    """The memory after the change; `replaces` is its old id when a change of privacy gave it a new one."""

    replaces: str | None = None


class Memories(Reply):
    """One page. `warning` says that the store seems to be lost, and how to bring it back."""

    memories: list[Memory]
    next_cursor: str | None
    total: int | None = None
    warning: str | None = None


class Deleted(Reply):
    """Whole ids; or with purge, a receipt of every place for each."""

    deleted: list[str] | None = None
    missing: list[str] | None = None
    purged: list[dict[str, Any]] | None = None


class Reviewed(Reply):
    """The whole ids that were accepted or rejected, and those that were not, with the reason.

    Of more ids than an answer holds the first ones stand here (`truncated`); `count` is always the whole number.
    """

    decision: str
    count: int
    ids: list[str]
    skipped: list[dict[str, Any]]


class BatchResults(Reply):
    """One result an operation, in order: a status with the memory, the ids, or the problem."""

    results: list[dict[str, Any]]


class Hit(Memory):
    """A memory that answers the question."""

    score: float
    also: list[str]


class Found(Reply):
    """The best hits. `confident` is false when nothing is known about the question; `warning` as in a list."""

    query: str
    took_ms: float
    confident: bool
    mode: str
    results: list[Hit]
    warning: str | None = None


class Change(Reply):
    """What became of a memory in a span of time. `before` or `after` is null where it was not there."""

    id: str
    kind: str
    at: str
    clients: list[str]
    content: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Changes(Reply):
    """One page, newest first. `kind`: added, edited, deleted or restored."""

    changes: list[Change]
    next_cursor: str | None


class Chain(Reply):
    """A memory with all that it superseded or was superseded by, oldest first, deleted ones included.

    `current` is the id of the one that holds now; null when all are deleted.
    """

    chain: list[Memory]
    current: str | None


class Resembling(Reply):
    """A memory and how near it is: `score` 0 to 1, the share of `same_words`, and whether the score is `by` meaning or words."""

    score: float
    same_words: float
    by: str
    memory: Memory


class Similar(Reply):
    """The nearest first."""

    similar: list[Resembling]


class Pair(Reply):
    """Two memories, of which `a` is the newer one."""

    score: float
    same_words: float
    by: str
    a: Memory
    b: Memory


class Duplicates(Reply):
    """One step: `scanned` of `total` memories are done."""

    pairs: list[Pair]
    scanned: int
    total: int
    next_cursor: str | None


class Distinct(Reply):
    """The whole ids."""

    a: str
    b: str
    distinct: bool


class Merged(Reply):
    """What stays, and the id of what was deleted."""

    memory: Memory
    deleted: str


class Revision(Reply):
    """One change of a memory."""

    rev: int
    stamp: str
    at: str
    client: str
    kind: str
    set: dict[str, Any]
    content: str | None


class History(Reply):
    """All revisions, oldest first; two heads or more are a conflict."""

    id: str
    revisions: list[Revision]
    heads: list[str]


class Access(Reply):
    """One access. `answers` are id, rank, score and `legs` of each memory; with `content` also its text as it was told
    then, `changed` where it reads differently now, `gone` where it is no more."""

    id: int
    at: str
    client: str
    what: str
    query: str | None
    answers: list[dict[str, Any]]


class Accesses(Reply):
    """Newest first."""

    accesses: list[Access]


class Undone(Reply):
    """What was taken back, what was left alone and why, and the memories that differ: the fields before and after.

    `changed` counts those, also where there are too many for one answer (`truncated`).
    """

    undone: list[dict[str, Any]]
    skipped: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    changed: int


class Actions(Reply):
    """One page of what was done, newest first."""

    actions: list[dict[str, Any]]
    next_cursor: str | None


class TagCounts(Reply):
    """Tags with their counts, most used first."""

    tags: list[dict[str, Any]]


class Stats(Reply):
    """Counts."""

    memories: int
    states: dict[str, int]
    clients: dict[str, int]
    by_day: dict[str, int]


class TextVersion(Reply):
    """One text of a memory that was written apart; `live` is the one that is found. `where` it was written: `this machine`,
    `elsewhere` or `imported` where a machine answers; in the account, the name of the machine, empty for the account itself."""

    stamp: str
    at: str
    client: str
    where: str
    content: str
    live: bool


class TextConflict(Reply):
    """A memory and its texts, the live one first."""

    memory: Memory
    versions: list[TextVersion]


class Conflicts(Reply):
    """One page, in the order of the ids."""

    conflicts: list[TextConflict]
    next_cursor: str | None


class Settled(Reply):
    """The memory, and the memories that were made of its other texts."""

    memory: Memory
    others: list[Memory]


class Device(Reply):
    """A machine of an account. `via`: `session` or `api_key`; `behind`: how many changes of the account it has not read."""

    id: str
    name: str
    platform: str
    via: str
    first_seen: str
    last_seen: str
    pulled_seq: int | None
    pushed_seq: int | None
    behind: int


class Client(Reply):
    """A connected program."""

    name: str
    read: bool
    write: bool
    delete: bool
    tags: list[str] | None
    review: bool
    writes_per_hour: int | None
    generation: int
    connected_at: str
    last_seen: str | None
    revoked: bool


class Clients(Reply):
    """Every program that was ever connected."""

    clients: list[Client]
