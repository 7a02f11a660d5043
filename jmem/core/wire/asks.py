"""What the routes take: the documented fields and their limits. What they mean is checked by the service."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from jmem.core.model import (
    CLIENT_NAME,
    CLIENT_RULE,
    LEAST_NEAR,
    MAX_BATCH,
    MAX_CLIENT_CHARS,
    MAX_CONTENT_BYTES,
    MAX_LIMIT,
    MAX_NAME_CHARS,
    MAX_TAG_CHARS,
    MAX_TAGS,
)
from jmem.core.wire.base import Ask, Query

# Limits of size are documented here and enforced by the service, whose errors say how to mend them.
Content = Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": MAX_CONTENT_BYTES},
                               examples=["I prefer aisle seats on long flights"])]  # fmt: skip
Tag = Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": MAX_TAG_CHARS})]
Tags = Annotated[tuple[Tag, ...], Field(description=f"at most {MAX_TAGS} different ones", examples=[["travel"]])]
Name = Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": MAX_NAME_CHARS})]


def _named(name: str) -> str:
    """The name of a client as it is; what a pattern would say of another one is no help."""
    if not CLIENT_NAME.fullmatch(name):
        raise PydanticCustomError("client_name", CLIENT_RULE)
    return name


ClientName = Annotated[
    str, AfterValidator(_named),
    Field(json_schema_extra={"pattern": r"^[a-z0-9][a-z0-9._-]*$", "maxLength": MAX_CLIENT_CHARS}, examples=["claude"]),
]  # fmt: skip
Id = Annotated[str, Field(description="an id, or any part of one that fits no other", examples=["0199f3a1c2d4"])]
Moment = Annotated[str, Field(description="ISO 8601; without an offset it is local time", examples=["2026-11-22"])]
When = Annotated[str, Field(description="ISO 8601, or words", examples=["2026-11-01", "last week"])]
Past = Annotated[
    When, Field(description="answer as of this moment: ISO 8601, or words; a day or a week counts to its end")
]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
State = Literal["active", "paused", "archived", "review"]
StateOrAll = Annotated[
    Literal["active", "paused", "archived", "review", "all"], Field(description="all: any but review")
]
Privacy = Literal["local", "synced"]
Secrets = Annotated[Literal["refuse", "mask", "allow"], Field(description="what to do with text that carries a secret")]
Sort = Literal["created", "-created", "updated", "-updated", "occurred", "-occurred"]
Mode = Literal["hybrid", "text", "vector"]


class MemoryAsk(Ask):
    """A memory to add."""

    content: Content
    tags: Tags = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    source: Name | None = None
    thread: Name | None = None
    speaker: Name | None = None
    occurred_at: Moment | None = None
    expires_at: Moment | None = None
    privacy: Privacy = "synced"
    state: State = "active"
    client: ClientName | None = None
    supersedes: Id | None = None
    infer: bool = Field(False, description="have the configured model split the text into memories")
    secrets: Secrets = "refuse"


class EditAsk(Ask):
    """Fields to change; what is left out stays."""

    content: Content | None = None
    tags: Tags | None = None
    add_tags: Tags | None = None
    remove_tags: Tags | None = None
    metadata: dict[str, Any] | None = None
    source: Name | None = None
    thread: Name | None = None
    speaker: Name | None = None
    occurred_at: Moment | None = None
    expires_at: Moment | None = None
    privacy: Privacy | None = None
    state: State | None = None
    supersedes: Id | None = None
    secrets: Secrets = "refuse"


class BatchAsk(Ask):
    """Operations, undone together: {"op": "add"|"edit"|"delete"|"restore"|"purge", "id"?, …fields}."""

    operations: Annotated[tuple[dict[str, Any], ...], Field(json_schema_extra={"minItems": 1, "maxItems": MAX_BATCH})]


class ListQuery(Query):
    """Which memories, in which order."""

    limit: Limit = 100
    cursor: str | None = None
    tag: tuple[str, ...] = Field((), description="every one of them")
    client: tuple[str, ...] = ()
    state: StateOrAll = "active"
    deleted: bool = Field(False, description="the deleted ones instead")
    expired: bool = Field(False, description="the expired ones instead")
    as_of: Past | None = None
    since: When | None = None
    until: When | None = None
    privacy: Privacy | None = None
    thread: str | None = None
    source: str | None = None
    sort: Sort = "-created"
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = Field(0, description="memories to pass over first")
    count: bool = Field(False, description="say in `total` how many memories the list has")


class MemoryQuery(Query):
    """How to read a memory."""

    as_of: Past | None = None


class ChangesQuery(Query):
    """Which span of time, and whose changes."""

    since: When
    until: When | None = None
    limit: Limit = 100
    cursor: str | None = None
    client: str | None = Field(None, description="only what this program changed in the span")
    id: Id | None = None


Least = Annotated[float, Field(ge=0.5, le=1, description="how near two are at least; 1 is the same")]


class SimilarQuery(Query):
    """How many, and how near."""

    limit: Limit = 10
    least: Least = LEAST_NEAR


class DuplicatesQuery(Query):
    """Which pairs, and where to go on."""

    limit: Limit = 50
    least: Least = LEAST_NEAR
    cursor: str | None = None


class DistinctAsk(Ask):
    """Two memories; `distinct` false takes the note back."""

    a: Id
    b: Id
    distinct: bool = True


class MergeAsk(Ask):
    """The memory that goes, and what the one that stays says then."""

    other: Id
    content: Content | None = Field(None, description="the new text; without it, the text stays")
    version: str | None = Field(None, description="the version of what stays, as it was read; 409 `changed` otherwise")
    other_version: str | None = Field(None, description="the version of `other`, as it was read")
    secrets: Secrets = "refuse"


class ConflictsQuery(Query):
    """Which conflicts, and where to go on."""

    limit: Limit = 50
    cursor: str | None = None
    id: Id | None = Field(None, description="only that of this memory; 404 `no_conflict` when it has none")


class SettleAsk(Ask):
    """How a conflict is settled: `keep` the text of one version, keep `both` (each other text becomes a memory of its own),
    or put the `text` of `content` in the place of all."""

    how: Literal["keep", "both", "text"]
    version: Annotated[str, Field(max_length=64)] = Field(
        "",
        description="the stamp of a version, or its number from 1: which text stays; without it, `both` keeps the live one here",
    )
    content: Content | None = None
    stamps: tuple[Annotated[str, Field(max_length=64)], ...] | None = Field(
        None,
        description="of the versions, as they were read; 409 `changed` when there are others",
        json_schema_extra={"maxItems": 1000},
    )
    secrets: Secrets = "refuse"


class DeleteQuery(Query):
    """How to delete."""

    purge: bool = Field(False, description="forget for ever, everywhere")


class SearchAsk(Ask):
    """A question, and where to look."""

    query: Annotated[str, Field(json_schema_extra={"minLength": 1}, examples=["which seat should I book"])]
    limit: Limit = 10
    tags: Tags = ()
    clients: tuple[str, ...] = ()
    states: tuple[State, ...] = ("active",)
    since: When | None = None
    until: When | None = None
    privacy: Privacy | None = None
    thread: str | None = None
    source: str | None = None
    as_of: Past | None = None
    mode: Mode = "hybrid"
    fold: bool = Field(True, description="give equal texts once; `also` names the others")
    explain: bool = False


class ReviewAsk(Ask):
    """What becomes of what waits for review: some of it, all of one client's, or all."""

    decision: Literal["approve", "reject"]
    ids: Annotated[tuple[Id, ...], Field(json_schema_extra={"minItems": 1, "maxItems": MAX_BATCH})] | None = None
    client: ClientName | None = Field(None, description="all that this client wrote")
    all: bool = False


class RestoreAsk(Ask):
    """Which revision; none brings back a deleted memory as it was."""

    rev: Annotated[int, Field(ge=1)] | str | None = Field(None, description="a revision's number, or its stamp")


class UndoAsk(Ask):
    """What to take back: the newest `n` actions, or as one step all of a client's, since a moment, or both."""

    n: Limit | None = Field(None, description="how many of the newest actions; 1 where nothing else is given")
    client: str | None = Field(None, description="all actions of this client", examples=["cursor"])
    since: When | None = Field(None, description="all actions since then")
    upto: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = Field(
        None, description="with client or since: none after this action, the newest one that a dry run named"
    )
    redo: bool = False
    dry_run: bool = Field(False, description="change nothing, only tell what would change")


class LogQuery(Query):
    """Which actions."""

    limit: Limit = 50
    cursor: str | None = None
    id: Id | None = None
    client: str | None = None
    since: When | None = None


class AccessQuery(Query):
    """Which accesses."""

    limit: Limit = 100
    client: str | None = None
    what: tuple[str, ...] = Field((), description="only these kinds", examples=[["search", "list"]])
    after: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = Field(
        None, description="only newer ones than the one of this id"
    )
    before: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = Field(
        None, description="only older ones than the one of this id"
    )
    content: bool = Field(False, description="with the text of each memory, as it was told then")


class EventsQuery(Query):
    """Where to resume, and what is told."""

    since: Annotated[int, Field(ge=0)] | None = Field(
        None, description="the last seq that was seen; without it, from now on"
    )
    store: str | None = Field(None, description="the store which that seq is of, as the last start or reset told it")
    access: bool = Field(False, description="tell of accesses too, as event: access")


class ConnectAsk(Ask):
    """A client to connect."""

    name: ClientName
    rotate: bool = Field(False, description="make a new key; the old one is worthless at once")


class PermissionsAsk(Ask):
    """What a client may do."""

    read: bool | None = None
    write: bool | None = None
    delete: bool | None = None
    tags: Tags | None = Field(None, description="it sees only memories with one of these; null: all of them")
    review: bool | None = Field(None, description="what it writes waits until the owner accepts it")
    writes_per_hour: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="how many memories it may add, change and delete within an hour; null: no cap"
    )


class RebuildAsk(Ask):
    """How to rebuild the index."""

    embed: bool = Field(False, description="embed every text anew")


class ImportAsk(Ask):
    """Items of a file: objects of a JSONL file, or `{"path", "text"}` of Markdown files."""

    format: Literal["jsonl", "md"] = "jsonl"
    items: Annotated[tuple[Any, ...], Field(json_schema_extra={"minItems": 1, "maxItems": MAX_BATCH},
                                            examples=[[{"content": "I prefer aisle seats"}]])]  # fmt: skip
    secrets: Secrets = "mask"
    dry_run: bool = Field(False, description="report what would happen, change nothing")
    client: ClientName | None = Field(None, description="of items that name none")
    action: int | None = Field(
        None, ge=1, le=2**63 - 1, description="what the batch before it answered: undo then takes both back"
    )
    place: str | None = Field(
        None,
        description="where on this machine they are from: a file, or the folder that holds the paths of Markdown files",
    )


class ExportQuery(Query):
    """What is exported, and as what."""

    format: Literal["jsonl", "md"] = "jsonl"
    history: bool = Field(True, description="with every change (jsonl): imports bring all of it back")
    tag: tuple[str, ...] = Field((), description="every one of them")
    client: tuple[str, ...] = ()
    state: StateOrAll = "all"
    deleted: bool = Field(False, description="without history: the deleted ones instead")
    since: When | None = None
    until: When | None = None
    privacy: Privacy | None = None
    thread: str | None = None
    source: str | None = None
