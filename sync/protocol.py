"""The wire of sync: what a device and the hosted account say to each other, and the limits of it.

Ops travel as the canonical text they were sealed as (docs/sync-protocol.md): here they are plain objects, since fields
that this version does not know are relayed as they are. What an op has to be is checked by `jmem.core.opcheck`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from jmem.core.model import MAX_OP_BYTES

VERSION = 1
MAX_PUSH_OPS = 500
MAX_PUSH_BYTES = 4 * 1024 * 1024
MAX_PULL_BYTES = 4 * 1024 * 1024
MAX_SKEW_MS = 60_000
"""A stamp further ahead of the server's clock is refused, for ever."""
MAX_DEVICE_CHARS = 64

MAX_TREE_NAMES = 512
MAX_LOGS = 100
MAX_MEND = 100

Stamp = Annotated[str, Field(pattern=r"^[0-9a-f]{12}-[0-9a-f]{4}-[0-9a-f]{8}$")]
Device = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=MAX_DEVICE_CHARS, description="one local store"),
]
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
AccountId = Annotated[str, Field(pattern=rf"^{_UUID}$")]
MemoryId = Annotated[str, Field(pattern=rf"^{_UUID}$")]
Cursor = Annotated[
    str, Field(pattern=r"^[0-9]{1,18}:[0-9a-f]{0,16}$", description="<seq>:<chain>, as the last pull gave it")
]


class Op(BaseModel):
    """One immutable change of one memory. Fields beyond these are relayed untouched."""

    model_config = ConfigDict(extra="allow", frozen=True)

    v: int
    stamp: Stamp
    id: str
    set: dict[str, Any]
    base: list[Stamp]
    client: str
    nonce: str
    purge: bool = False
    digest: str


class Limits(BaseModel):
    """How much goes into one request."""

    push_ops: int = MAX_PUSH_OPS
    push_bytes: int = MAX_PUSH_BYTES
    op_bytes: int = MAX_OP_BYTES
    pull_ops: int = MAX_PUSH_OPS
    pull_bytes: int = MAX_PULL_BYTES
    skew_ms: int = MAX_SKEW_MS
    tree_names: int = 16
    """of nodes or buckets; what an account takes that does not say it"""
    logs: int = 1
    """memories whose ops are asked for at once"""


class Hello(BaseModel):
    """What a device asks before its first push of a connection. `now` is ms since 1970 by the server's clock, `account`
    whose feed it is."""

    now: int
    account: str = ""
    v: int = VERSION
    limits: Limits = Limits()


class PushAsk(BaseModel):
    """Ops of one device, in any order."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    device: Device
    ops: Annotated[list[dict[str, Any]], Field(json_schema_extra={"maxItems": MAX_PUSH_OPS})]


class Rejected(BaseModel):
    """An op that was not taken: `clock_skew` (stamp it anew), `stamp_reuse`, or why it is no op."""

    stamp: str
    code: str


class PushAnswer(BaseModel):
    """What became of each op. An op leaves the outbox only when it is seen in the feed."""

    acked: list[str]
    rejected: list[Rejected]
    now: int


class PullQuery(BaseModel):
    """Where to go on. With `device`, what that device pushed comes back as stamp and digest only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: Cursor | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PUSH_OPS)] = MAX_PUSH_OPS
    device: Device | None = None


class Seen(BaseModel):
    """An op that the asking device made itself."""

    stamp: Stamp
    digest: str


class PullAnswer(BaseModel):
    """Ops in the order of the feed, the cursor after the last of them, and whether there are more already; `newest` is the
    last seq of the feed."""

    ops: list[Op | Seen]
    cursor: str
    more: bool
    newest: int = 0


class TreeQuery(BaseModel):
    """A part of the hash tree: names of nodes (two hex digits each) or of buckets (four), all of one kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    under: Annotated[
        str,
        Field(
            pattern=rf"^([0-9a-f]{{2}}(,[0-9a-f]{{2}}){{0,{MAX_TREE_NAMES - 1}}}|[0-9a-f]{{4}}(,[0-9a-f]{{4}}){{0,{MAX_TREE_NAMES - 1}}}|)$",
            description=f"up to {MAX_TREE_NAMES} names, separated by commas; without it, the nodes below the root",
        ),
    ] = ""


def listed(names: str) -> list[str]:
    """The names in a list of a query."""
    return names.split(",") if names else []


class TreeLeaf(BaseModel):
    """One memory: how many ops, the sum of their hashes, the hash of its row."""

    id: str
    ops: int
    log: str
    row: str


class TreeAnswer(BaseModel):
    """A part of the tree as of the feed's `seq`: nodes by name, or the memories of buckets."""

    seq: int
    memories: int
    nodes: dict[str, str]
    leaves: list[TreeLeaf]


class LogQuery(BaseModel):
    """One memory, and the stamp behind which to go on; `then` are more of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: MemoryId
    behind: Stamp | None = None
    then: Annotated[
        str,
        Field(
            pattern=rf"^({_UUID}(,{_UUID}){{0,{MAX_LOGS - 2}}}|)$",
            description=f"up to {MAX_LOGS - 1} more memories, separated by commas, whose ops come after those of `id`",
        ),
    ] = ""


class LogAnswer(BaseModel):
    """Ops of memories, in the order they were asked for, then of their stamps; whether there may be more."""

    ops: list[Op]
    more: bool


class MendAsk(BaseModel):
    """Memories whose rows are to be what their ops add up to."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    ids: Annotated[list[MemoryId], Field(min_length=1, max_length=MAX_MEND)]


class MendAnswer(BaseModel):
    """Those that were something else."""

    mended: list[str]


def next_chain(chain: str, stamp: str) -> str:
    """The hash of the whole feed up to an op, from the one before it and the op's stamp; 16 hex digits."""
    return hashlib.sha256((chain + stamp).encode()).hexdigest()[:16]


def cursor_of(seq: int, chain: str) -> str:
    """The cursor after an op."""
    return f"{seq}:{chain}"


def parse_cursor(cursor: str | None) -> tuple[int, str]:
    """(seq, chain) of a well-formed cursor; (0, "") without one."""
    if cursor is None:
        return 0, ""
    seq, _, chain = cursor.partition(":")
    return int(seq), chain
