"""A device to try the protocol with: a store, its engine, and a wire of its own."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from jmem.core import outbox, rules
from jmem.core.store.oplog import Sent
from sync.engine import Engine
from sync.protocol import MAX_PUSH_OPS
from sync.remote import Offline, Pulled, Remote
from tests.core.conftest import User, open_user
from tests.sync.faults import Time, Wire

HELD_TAG = "stays"


class _Paged(Remote):
    """Asks for small pages of the feed."""

    page = MAX_PUSH_OPS

    def pull(self, cursor: str | None, *, own: bool = False, limit: int = MAX_PUSH_OPS) -> Pulled:
        """As ever, `page` ops at most."""
        return super().pull(cursor, own=own, limit=min(limit, self.page))


@dataclass
class Replica:
    """A device: a store, its engine, and a wire of its own."""

    name: str
    account: uuid.UUID
    folder: Path
    url: str
    wire: Wire
    time: Time
    skew: int = 0
    private: dict[str, str] = field(default_factory=dict)
    """what may not be seen at the wire -> the id of its memory"""
    copy: Path | None = None
    page: int = MAX_PUSH_OPS
    """ops of the feed that it asks for at once"""
    life: int = 0
    """how often it was put back from a copy, after which it knows nothing of what it wrote since"""

    def __post_init__(self) -> None:
        self.wire.replica = self
        self.open()

    def open(self) -> None:
        """Begin as a new process."""
        self.user: User = open_user(self.folder)
        self._set_clock()
        http = httpx.Client(transport=self.wire, timeout=20)
        self.remote = _Paged(self.url, self.user.store.store_id, lambda refused: str(self.account), http)
        self.remote.page = self.page
        self.engine = Engine(self.user.store, self.remote, self._changed)

    def _set_clock(self) -> None:
        self.time.skew[self.user.store._writer._thread.ident or 0] = self.skew

    def _changed(self, taken: outbox.TakenIn) -> None:
        assert not taken.refused, taken.refused
        if taken.purged:
            self.user.service.finish_purges()

    @contextmanager
    def here(self) -> Iterator[None]:
        """What this thread does is done on this device."""
        here = threading.get_ident()
        before = self.time.skew.get(here, 0)
        self.time.skew[here] = self.skew
        try:
            yield
        finally:
            self.time.skew[here] = before

    def jump(self, skew: int) -> None:
        """Its clock shows another time."""
        self.skew = skew
        self._set_clock()

    def restart(self) -> None:
        """The process ends and another one begins."""
        self.close()
        self.open()

    def close(self) -> None:
        self.time.skew.pop(self.user.store._writer._thread.ident or 0, None)
        self.user.close()

    def snapshot(self) -> None:
        """Copy what is on disk."""
        self.copy = self.folder.with_suffix(".copy.db")
        self.copy.unlink(missing_ok=True)
        self.user.store.backup(self.copy)

    def roll_back(self) -> None:
        """Put the copy in the place of what is on disk, as from a backup of the whole machine."""
        assert self.copy is not None
        self.life += 1
        self.close()
        for path in self.folder.glob("memories.db*"):
            path.unlink()
        (self.folder / "purged.jsonl").unlink(missing_ok=True)
        shutil.copy(self.copy, self.folder / "memories.db")
        self.open()

    def turn(self, page: int) -> None:
        """Ask for other pages of the feed from now on."""
        self.page = self.remote.page = page

    def exchange(self, *faults: str, meanwhile: tuple[int, Callable[[], None]] | None = None) -> None:
        """One exchange, in which requests meet these faults; a failure that is tried again later is none. `meanwhile` is done
        in it, once that many requests are over."""
        self.wire.ordered = list(faults)
        if meanwhile is not None:
            self.wire.meanwhile = (meanwhile[0], threading.get_ident(), meanwhile[1])
        with self.here(), suppress(Offline):
            self.engine.exchange()
        self.wire.ordered, self.wire.meanwhile = [], None

    # ---- what is there ------------------------------------------------------------------------

    @property
    def holding(self) -> bool:
        """Whether memories with a certain tag stay here."""
        with self.user.store.reader() as conn:
            return HELD_TAG in rules.of(conn).tags

    def query(self, sql: str, *arguments: Any) -> list[Any]:
        with self.user.store.reader() as conn:
            return conn.execute(sql, arguments).fetchall()

    def ops(self) -> list[tuple[str, str, str, int]]:
        """(stamp, digest, text, sent) of every op."""
        return self.query("SELECT stamp, digest, payload, sent FROM ops ORDER BY stamp")

    def shared(self) -> dict[str, tuple[str, str]]:
        """What may leave: (digest, text) by stamp."""
        return {stamp: (digest, text) for stamp, digest, text, sent in self.ops() if sent != Sent.LOCAL}

    def ids(self, *, local: bool | None = None) -> list[str]:
        """Of memories that have a row, oldest first."""
        rows = self.query("SELECT id, privacy FROM memories ORDER BY id")
        return [id for id, privacy in rows if local is None or (privacy == "local") is local]

    def state(self) -> dict[str, Any]:
        """Every row of what may leave, as a person sees it."""
        names = (
            "id, content, tags, deleted, metadata, state, client, source, thread, speaker, supersedes, created_at,"
            " updated_at, version, stamps"
        )
        rows = self.query(f"SELECT {names} FROM memories WHERE privacy <> 'local'")
        return {
            id: (content, tuple(json.loads(tags)), bool(deleted), *rest, sorted(json.loads(stamps).items()))
            for id, content, tags, deleted, *rest, stamps in rows
        }

    def digest(self) -> str:
        """One number for all of it."""
        whole = json.dumps([sorted(self.state().items()), sorted(self.shared().items())], default=str)
        return hashlib.sha256(whole.encode()).hexdigest()


def outbox_counts(replica: Replica) -> dict[str, int]:
    """Ops by how far they have come."""
    with replica.user.store.reader() as conn:
        return outbox.counts(conn)
