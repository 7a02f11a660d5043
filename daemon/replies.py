"""What only a daemon's routes answer, for its OpenAPI document; `jmem.core.wire.answers` has what an account's do too."""

from __future__ import annotations

from typing import Any

from jmem.core.wire import answers
from jmem.core.wire.answers import Reply


class Connection(Reply):
    """The personal addresses of a client."""

    client: str
    sse: str
    http: str
    stdio: dict[str, Any]


class Index(Reply):
    """The state of the vector index."""

    embedder: str
    fingerprint: str | None
    indexed: int
    pending: int
    points: int
    expected: int
    bytes: int
    state: str


class Started(Reply):
    """Work that goes on in the background."""

    started: bool


class Imported(Reply):
    """Counts of memories, and what became of single items, each by its index in the request."""

    added: int
    updated: int
    duplicates: int
    skipped: list[dict[str, Any]]
    masked: list[dict[str, Any]]
    kept: list[dict[str, Any]]
    action: int | None


class Backup(Reply):
    """A verified copy of a store. `kind`: daily, manual, restore or damaged (what a restore replaced), migration."""

    path: str
    name: str
    kind: str
    created_at: str
    bytes: int
    memories: int


class Backups(Reply):
    """Newest first; `next` is when the next daily one is due."""

    backups: list[Backup]
    next: str | None


class Restored(Reply):
    """What is in place now, and where the store it replaced was kept."""

    path: str
    memories: int
    ops: int
    purged_again: int
    replaced: str | None


class Health(Reply):
    """It serves."""

    status: str
    version: str
    pid: int
    build: str


class Status(Reply):
    """How jmem is; `warning` as in a list."""

    version: str
    user_id: str | None
    memories: int
    review: int
    pending_index: int
    daemon: dict[str, Any]
    embedder: dict[str, Any]
    sync: dict[str, Any] | None
    warning: str | None = None


class Token(Reply):
    """The bearer token of a user."""

    token: str


class Stopping(Reply):
    """It stops."""

    stopping: bool
    pid: int


class Account(Reply):
    """Who is signed in on this machine, and where what proves it is kept."""

    signed_in: bool
    email: str
    account: str
    url: str
    kept: str


class AccountChecked(Reply):
    """The account that these memories belong to, empty for none, and whether it was deleted."""

    bound: str
    gone: bool


class Device(answers.Device):
    """A machine that syncs with the account. `here`: this one."""

    here: bool


class Devices(Reply):
    """The last one seen first."""

    devices: list[Device]


class AccountEnded(Reply):
    """The account is deleted. `complete` is false while something of it is still being removed."""

    deleted: bool
    complete: bool


class CodeSent(Reply):
    """A code to sign in with was mailed."""

    code_sent: bool
    email: str


class Sync(Reply):
    """How the exchange with the account goes. `lag_s`: how long the oldest change waits; `conflicts`: memories with texts
    written apart; `stuck`: changes that the account does not take, and why, by stamp; `refused`: changes of the feed that
    can't be kept here."""

    state: str
    url: str
    email: str
    account: str
    waiting: int
    lag_s: int | None
    held: int
    local: int
    seen: int
    conflicts: int
    rules: dict[str, list[str]]
    streaming: bool
    last_exchange: str | None
    progress: dict[str, int] | None
    stuck: dict[str, str]
    refused: dict[str, str]
    error: dict[str, Any] | None
    next_try_s: int | None


class Verdict(Reply):
    """Whether both sides are equal, how many memories each has, and the ids of those that differ; `differences` says what
    of each does, `mended` are those that were put right."""

    equal: bool
    local: int
    hosted: int
    differing: list[str]
    differences: list[dict[str, Any]]
    mended: list[str]


class Verifying(Reply):
    """What is being done, and how many of it are done."""

    what: str
    done: int


class SyncPreview(Reply):
    """What would leave this machine, and what would stay."""

    memories: int
    deleted: int
    local: int
    held: int
    bytes: int
    samples: list[str]
    deleted_samples: list[str]
