"""Devices of some accounts, the accounts, and what their people do and were told."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from jmem.core import rules
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import JmemError
from jmem.core.model import Op, iso
from jmem.core.opcheck import is_blank
from jmem.core.rules import Rules
from jmem.core.store import oplog
from jmem.core.store.oplog import Sent
from tests.sync.faults import Late, Tables, Time, Wire
from tests.sync.replica import HELD_TAG, Replica

ME = Actor("cli")
NO_WRITE = frozenset(("not_found", "deleted", "purged", "unchanged", "not_deleted", "no_conflict", "no_version",
                      "no_revision", "privacy_differs"))  # fmt: skip


@dataclass
class Told:
    """What an account's people were told is kept: ops by their nonces, which no new stamp changes."""

    ops: dict[str, Op] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    """ids that were purged, as far as anybody still knows"""
    ever_forgotten: set[str] = field(default_factory=set)
    stayed: dict[str, tuple[Replica, Op]] = field(default_factory=dict)
    """writes that stay on their device, by their nonces"""
    emptied: set[str] = field(default_factory=set)
    """ids that were ever purged on a device they never left"""
    rows: dict[tuple[str, int, str, str], list[str]] = field(default_factory=dict)
    """what one device wrote to one field, one after the other: nonces by device, its life, id and field"""


class People:
    """Devices of some accounts, the accounts, and what people were told."""

    def __init__(self, url: str, tables: Tables, folder: Path, time: Time) -> None:
        self.url, self.tables, self.folder, self.time = url, tables, folder, time
        self.replicas: list[Replica] = []
        self.told: dict[uuid.UUID, Told] = {}
        self.late: list[Late] = []
        self.copies: dict[uuid.UUID, dict[str, list[str]]] = {}
        self.http = httpx.Client(timeout=20)
        self._numbers = 0

    def account(self) -> uuid.UUID:
        made = uuid.uuid4()
        self.told[made] = Told()
        return made

    def replica(self, account: uuid.UUID) -> Replica:
        name = f"d{len(self.replicas)}"
        made = Replica(name, account, self.folder / name, self.url, Wire(self.late), self.time)
        self.replicas.append(made)
        return made

    def of(self, account: uuid.UUID) -> list[Replica]:
        return [replica for replica in self.replicas if replica.account == account]

    def close(self) -> None:
        self.http.close()
        for replica in self.replicas:
            replica.close()
            replica.wire.close()

    # ---- what people do -----------------------------------------------------------------------

    def words(self, replica: Replica | None = None, id: str = "") -> str:
        """A text that is nowhere else; with a device, one that may not leave it."""
        self._numbers += 1
        if replica is None:
            return f"text {self._numbers}"
        text = f"canary-{self._numbers}-{uuid.uuid4().hex[:12]}"
        replica.private[text] = id
        return text

    def on(self, replica: Replica, work: Callable[[], Any]) -> Any:
        """A write that its person is told of; what a memory refuses is no write."""
        (before,) = replica.query("SELECT COALESCE(MAX(seq), 0) FROM ops")[0]
        had = {stamp for stamp, *_ in replica.ops()}
        try:
            with replica.here():
                done = work()
        except JmemError as error:
            if error.code not in NO_WRITE:
                raise
            return None
        told = self.told[replica.account]
        newest = max(had, default="")
        self._published(replica)
        for id, payload, sent in replica.query("SELECT memory_id, payload, sent FROM ops WHERE seq > ?", before):
            op = Op.parse(payload)
            assert op.stamp > newest, "I4: a write comes after everything its writer had seen"
            if sent == Sent.LOCAL:
                if op.purge:
                    told.emptied.add(id)
                elif not is_blank(op):
                    told.stayed[op.nonce] = (replica, op)
                continue
            if op.purge:
                told.forgotten.add(id)
                told.ever_forgotten.add(id)
            elif not is_blank(op):
                told.ops[op.nonce] = op
                for name in op.set:
                    told.rows.setdefault((replica.name, replica.life, id, name), []).append(op.nonce)
        return done

    def add(self, replica: Replica, *, local: bool = False, tags: tuple[str, ...] = ()) -> str:
        """A new memory; its id."""
        hidden = local or (HELD_TAG in tags and replica.holding)
        text = self.words(replica) if hidden else self.words()
        draft = Draft(text, tags=tags, privacy="local" if local else "synced")
        id: str = self.on(replica, lambda: replica.user.service.add(draft, ME)).memory.id
        if hidden:
            replica.private[text] = replica.private[id] = id
        return id

    def add_as(self, replica: Replica, id: str) -> None:
        """A memory with the id that another account's memory has."""
        fields = {"content": self.words(), "client": "cli", "created_at": iso(self.time())}

        def run(tx: Any) -> None:
            oplog.write(tx, oplog.begin_action(tx, "cli", "add"), id, fields, "cli", fresh=True)

        if not replica.query("SELECT 1 FROM ops WHERE memory_id = ?", id):
            self.on(replica, lambda: replica.user.store.write(run))

    def edit(self, replica: Replica, id: str, **changes: Any) -> None:
        """Change it, and read the change back."""
        edited = self.on(replica, lambda: replica.user.service.edit(id, changes, ME))
        if edited is not None and "content" in changes:
            assert replica.user.service.get(edited.memory.id, ME).content == changes["content"], "I4: read your writes"

    def supersede(self, replica: Replica, id: str) -> None:
        """A memory that takes the place of another one, and is as private."""
        local = id in replica.ids(local=True)
        if local or id not in replica.private:
            text = self.words(replica) if local else self.words()
            draft = Draft(text, supersedes=id, privacy="local" if local else "synced")
            added = self.on(replica, lambda: replica.user.service.add(draft, ME))
            if added is not None and local:
                replica.private[text] = replica.private[added.memory.id] = added.memory.id

    def settle_one(self, replica: Replica, id: str, how: Any, version: str = "") -> None:
        """Texts of a memory that were written apart are settled, where there are any."""
        text = self.words() if how == "text" else None
        self.on(replica, lambda: replica.user.service.settle(id, ME, how, version=version, content=text))

    def take_back(self, replica: Replica, *, redo: bool) -> None:
        """Undo or redo of what was done on this device."""
        self.on(replica, lambda: replica.user.service.undo(ME, redo=redo))

    def rewind(self, replica: Replica, id: str) -> None:
        """The memory is again what it was at first."""
        self.on(replica, lambda: replica.user.service.restore(id, ME, rev="1"))

    def rewrite(self, replica: Replica, id: str) -> None:
        """Another text, which is as private as the memory."""
        row = replica.query("SELECT privacy FROM memories WHERE id = ?", id)
        hidden = bool(row) and (row[0][0] == "local" or id in replica.private)
        self.edit(replica, id, content=self.words(replica, id) if hidden else self.words())

    def hide(self, replica: Replica, id: str) -> str | None:
        """Synced to local: what it says from then on is private, and so is its new id."""
        edited = self.on(replica, lambda: replica.user.service.edit(id, {"privacy": "local"}, ME))
        if edited is None or edited.replaces is None:
            return None
        new: str = edited.memory.id
        replica.private[new] = new
        return new

    def publish(self, replica: Replica, id: str) -> None:
        """Local to synced: the text as it stands may leave, what it said before and its id may not."""
        content = replica.query("SELECT content FROM memories WHERE id = ?", id)
        self.on(replica, lambda: replica.user.service.edit(id, {"privacy": "synced"}, ME))
        if content:
            replica.private.pop(content[0][0], None)

    def delete(self, replica: Replica, id: str) -> None:
        self.on(replica, lambda: replica.user.service.delete(id, ME))

    def restore(self, replica: Replica, id: str) -> None:
        self.on(replica, lambda: replica.user.service.restore(id, ME))

    def purge(self, replica: Replica, id: str) -> None:
        self.on(replica, lambda: replica.user.service.purge(id, ME))

    def let_go(self, replica: Replica) -> None:
        """No rule holds anything back on a device any more; what stays private is what is local."""
        rules.change(replica.user.store, Rules())
        self._published(replica)

    @staticmethod
    def _published(replica: Replica) -> None:
        """What no rule holds back any more may leave: the texts and the id of a memory that is not local."""
        holding = replica.holding
        rows = replica.query("SELECT id, tags FROM memories WHERE privacy <> 'local'")
        free = {id for id, tags in rows if not (holding and HELD_TAG in json.loads(tags))}
        for text, id in list(replica.private.items()):
            if id in free:
                del replica.private[text]

    def hold(self, replica: Replica) -> None:
        """Memories with a certain tag stay on the device."""
        rules.change(replica.user.store, Rules(tags=(HELD_TAG,)))

    def web(self, account: uuid.UUID, method: str, path: str, body: Any = None) -> Any:
        """Something done on the web page, which its person is told of when it succeeds."""
        before = self.tables.fetch("SELECT COALESCE(MAX(seq), 0) FROM jmem.ops WHERE user_id = $1", account)[0][0]
        answer = self.http.request(
            method, f"{self.url}/api/v1{path}", json=body, headers={"authorization": f"Bearer {account}"}
        )
        assert answer.status_code in (200, 201, 404, 409), f"{answer.status_code} {answer.text}"
        told = self.told[account]
        for (text,) in self.tables.fetch(
            "SELECT payload FROM jmem.ops WHERE user_id = $1 AND seq > $2", account, before
        ):
            op = Op.parse(text)
            if op.purge:
                told.forgotten.add(op.id)
                told.ever_forgotten.add(op.id)
            elif not is_blank(op):
                told.ops[op.nonce] = op
        return answer.json() if answer.is_success else None

    # ---- disasters ----------------------------------------------------------------------------

    def deliver(self, late: Late) -> None:
        """A request arrives after its sender gave it up."""
        self.late.remove(late)
        late.replica.wire.deliver(late)

    def back_up(self, account: uuid.UUID) -> None:
        self.copies[account] = self.tables.copy(account)

    def put_back(self, account: uuid.UUID) -> None:
        """The server is restored from its copy; no request outlives that."""
        self.late[:] = [late for late in self.late if late.replica.account != account]
        self.tables.put_back(account, self.copies[account])
        self.forget_lost(account)

    def roll_back(self, replica: Replica) -> None:
        """A device is restored from its copy; no request of it outlives that."""
        self.late[:] = [late for late in self.late if late.replica is not replica]
        replica.roll_back()
        self.forget_lost(replica.account)

    def forget_lost(self, account: uuid.UUID) -> None:
        """A disaster may lose only what existed nowhere else at that moment."""
        told = self.told[account]
        alive, gone = set(), set()
        for text in self.feed(account).values():
            op = Op.parse(text[1])
            alive.add(op.nonce)
            gone |= {op.id} if op.purge else set()
        for replica in self.of(account):
            for _, _, text, _ in replica.ops():
                alive.add(Op.parse(text).nonce)
            gone |= {id for (id,) in replica.query("SELECT id FROM purged")}
        told.ops = {nonce: op for nonce, op in told.ops.items() if nonce in alive}
        told.stayed = {nonce: kept for nonce, kept in told.stayed.items() if nonce in alive}
        told.forgotten &= gone

    def feed(self, account: uuid.UUID) -> dict[str, tuple[str, str]]:
        """(digest, text) by stamp, as the server holds them."""
        rows = self.tables.fetch("SELECT stamp, digest, payload FROM jmem.ops WHERE user_id = $1", account)
        assert len({r["stamp"] for r in rows}) == len(rows), "I3: an op is in the feed twice"
        return {r["stamp"]: (r["digest"], r["payload"]) for r in rows}
