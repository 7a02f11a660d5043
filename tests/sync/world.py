"""Replicas and an account to try the protocol with: faults at the transport, clocks of their own, copies of either side put
back, and what has to hold when all has settled (I1 to I9 of the protocol)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from hosted.ops import writer as hosted_writer
from jmem.core import clock, outbox
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import JmemError
from jmem.core.model import Op, iso
from jmem.core.opcheck import is_blank
from jmem.core.outbox import Rules
from jmem.core.store import oplog
from jmem.core.store.oplog import Sent
from sync.engine import Engine
from sync.remote import Offline, Remote
from tests.core.conftest import User, open_user

ME = Actor("cli")
HELD_TAG = "stays"


class Time:
    """One clock for all modules: real time, what has passed beyond it, and how far each thread's machine is off.

    A store's writer and the program around it are threads; the served account's threads are never off.
    """

    def __init__(self) -> None:
        self.real = clock.wall_ms
        self.passed = 0
        self.skew: dict[int, int] = {}
        self.frozen: int | None = None

    def __call__(self) -> int:
        now = self.real() if self.frozen is None else self.frozen
        return now + self.passed + self.skew.get(threading.get_ident(), 0)

    def install(self, monkeypatch: Any) -> None:
        """Make every module that was loaded ask this clock."""
        for module in list(sys.modules.values()):
            if getattr(module, "wall_ms", None) is self.real:
                monkeypatch.setattr(module, "wall_ms", self)


class Tables:
    """The rows of one account behind the application's back."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._conn: asyncpg.Connection[asyncpg.Record] = self._run(asyncpg.connect(url))
        found = self._run(self._conn.fetch(
            "SELECT table_name AS name, array_agg(column_name::text ORDER BY ordinal_position)"
            "  FILTER (WHERE is_generated = 'NEVER') AS columns, bool_or(column_name = 'user_id') AS owned"
            " FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)"
            " WHERE table_schema = 'jmem' AND table_type = 'BASE TABLE' GROUP BY 1"))  # fmt: skip
        self._tables = {r["name"]: ", ".join(r["columns"]) for r in found if r["owned"]}

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

    def copy(self, account: uuid.UUID) -> dict[str, list[str]]:
        """Every row of the account, by table."""
        return {
            name: [r[0] for r in self._run(
                self._conn.fetch(f"SELECT t::text FROM jmem.{name} t WHERE user_id = $1", account))]
            for name in self._tables
        }  # fmt: skip

    def put_back(self, account: uuid.UUID, rows: dict[str, list[str]]) -> None:
        """The account as it was when it was copied; the application's processes are others from then on."""

        async def run() -> None:
            async with self._conn.transaction():
                await self._conn.execute("SET LOCAL session_replication_role = replica")
                for name, columns in self._tables.items():
                    await self._conn.execute(f"DELETE FROM jmem.{name} WHERE user_id = $1", account)
                    if rows[name]:
                        chosen = ", ".join(f"(u.r::jmem.{name}).{c.strip()}" for c in columns.split(","))
                        await self._conn.execute(
                            f"INSERT INTO jmem.{name} ({columns}) SELECT {chosen} FROM unnest($1::text[]) u(r)",
                            rows[name],
                        )

        self._run(run())
        self.restart()

    @staticmethod
    def restart() -> None:
        """The application's process is another one: so is its part of every stamp."""
        hosted_writer._node = (os.getpid(), clock.new_node())

    def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Rows of a query."""
        found: list[Any] = self._run(self._conn.fetch(query, *arguments))
        return found

    def close(self) -> None:
        self._run(self._conn.close())
        self._loop.close()


@dataclass
class Late:
    """A request that is still on the wire though nobody waits for its answer."""

    replica: Replica
    request: httpx.Request


class Wire(httpx.BaseTransport):
    """A real transport whose requests meet what was ordered for them; it keeps every byte that left."""

    def __init__(self, late: list[Late]) -> None:
        self._inner = httpx.HTTPTransport()
        self._late = late
        self.replica: Replica | None = None
        self.ordered: list[str] = []
        """what meets the next requests, in their order: a fault, or `call:fault` for the next one of that call"""
        self.sent: list[bytes] = []
        self.calls: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        call = request.url.path.rpartition("/")[2]
        self.sent.append(f"{request.method} {request.url} {request.headers}".encode() + body)
        self.calls.append(call)
        return self._meet(self._fault(call), call, request, body)

    def _fault(self, call: str) -> str:
        for place, said in enumerate(self.ordered):
            where, _, fault = said.rpartition(":")
            if where in ("", call):
                del self.ordered[place]
                return fault
        return "ok"

    def _meet(self, fault: str, call: str, request: httpx.Request, body: bytes) -> httpx.Response:
        if fault in ("throttled", "failing"):
            status = 429 if fault == "throttled" else 500
            return httpx.Response(status, json={"code": fault}, headers={"retry-after": "1"}, request=request)
        if fault == "too_large_for_the_way":
            return httpx.Response(413, text="<html>413</html>", request=request)
        if fault == "lost_request":
            raise httpx.ConnectError("the request was lost", request=request)
        ops = json.loads(body)["ops"] if call == "push" else []
        if fault == "too_large" and len(ops) > 1:
            return httpx.Response(413, json={"code": "batch_too_large"}, request=request)
        if fault == "delayed" and call == "push":
            assert self.replica is not None
            self._late.append(Late(self.replica, request))
            raise httpx.ReadTimeout("no answer", request=request)
        if fault == "cut" and len(ops) > 1:
            part = json.dumps({**json.loads(body), "ops": ops[: len(ops) // 2]}).encode()
            headers = [(k, v) for k, v in request.headers.raw if k.lower() != b"content-length"]
            request = httpx.Request(request.method, request.url, headers=headers, content=part)
        if fault == "twice":
            self._inner.handle_request(request).read()
        if fault == "kept_and_late" and call == "push":
            assert self.replica is not None
            self._late.append(Late(self.replica, request))
        answer = self._inner.handle_request(request)
        if fault == "lost_reply":
            answer.read()
            answer.close()
            raise httpx.ReadError("the answer was lost", request=request)
        return answer

    def deliver(self, late: Late) -> int:
        """A late request arrives; the status nobody waits for."""
        answer = self._inner.handle_request(late.request)
        answer.read()
        answer.close()
        return answer.status_code

    def close(self) -> None:
        self._inner.close()


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

    def __post_init__(self) -> None:
        self.wire.replica = self
        self.open()

    def open(self) -> None:
        """Begin as a new process."""
        self.user: User = open_user(self.folder)
        self._set_clock()
        http = httpx.Client(transport=self.wire, timeout=20)
        self.remote = Remote(self.url, self.user.store.store_id, lambda refused: str(self.account), http)
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
        self.time.skew[threading.get_ident()] = self.skew
        try:
            yield
        finally:
            self.time.skew.pop(threading.get_ident(), None)

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
        self.close()
        for path in self.folder.glob("memories.db*"):
            path.unlink()
        (self.folder / "purged.jsonl").unlink(missing_ok=True)
        shutil.copy(self.copy, self.folder / "memories.db")
        self.open()

    def exchange(self, *faults: str) -> None:
        """One exchange, in which requests meet these faults; a failure that is tried again later is none."""
        self.wire.ordered = list(faults)
        with self.here(), suppress(Offline):
            self.engine.exchange()
        self.wire.ordered = []

    # ---- what is there ------------------------------------------------------------------------

    @property
    def holding(self) -> bool:
        """Whether memories with a certain tag stay here."""
        with self.user.store.reader() as conn:
            return HELD_TAG in outbox.position(conn).rules.tags

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


@dataclass
class Told:
    """What an account's people were told is kept: ops by their nonces, which no new stamp changes."""

    ops: dict[str, Op] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    """ids that were purged, as far as anybody still knows"""
    ever_forgotten: set[str] = field(default_factory=set)


class World:
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
            if error.code not in ("not_found", "deleted", "purged", "unchanged", "not_deleted"):
                raise
            return None
        told = self.told[replica.account]
        newest = max(had, default="")
        for id, payload, sent in replica.query("SELECT memory_id, payload, sent FROM ops WHERE seq > ?", before):
            op = Op.parse(payload)
            assert op.stamp > newest, "I4: a write comes after everything its writer had seen"
            if sent == Sent.LOCAL:
                continue
            if op.purge:
                told.forgotten.add(id)
                told.ever_forgotten.add(id)
            elif not is_blank(op):
                told.ops[op.nonce] = op
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
        outbox.set_rules(replica.user.store, Rules())
        local = set(replica.ids(local=True))
        for text, id in list(replica.private.items()):
            if id not in local and replica.query("SELECT 1 FROM memories WHERE id = ? AND privacy <> 'local'", id):
                del replica.private[text]

    def hold(self, replica: Replica) -> None:
        """Memories with a certain tag stay on the device."""
        outbox.set_rules(replica.user.store, Rules(tags=(HELD_TAG,)))

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
        told.forgotten &= gone

    def feed(self, account: uuid.UUID) -> dict[str, tuple[str, str]]:
        """(digest, text) by stamp, as the server holds them."""
        rows = self.tables.fetch("SELECT stamp, digest, payload FROM jmem.ops WHERE user_id = $1", account)
        assert len({r["stamp"] for r in rows}) == len(rows), "I3: an op is in the feed twice"
        return {r["stamp"]: (r["digest"], r["payload"]) for r in rows}

    # ---- what has to hold ---------------------------------------------------------------------

    def check_wire(self) -> None:
        """I9: nothing private was seen."""
        for replica in self.replicas:
            said = b"\n".join(replica.wire.sent)
            for text in replica.private:
                assert text.encode() not in said, f"I9: {text} of {replica.name} left it"
            replica.wire.sent.clear()

    def check_local(self) -> None:
        """What is local is marked so for ever, op by op."""
        for replica in self.replicas:
            rows = replica.query(
                "SELECT o.sent FROM ops o JOIN memories m ON m.id = o.memory_id WHERE m.privacy = 'local'"
            )
            assert all(sent == Sent.LOCAL for (sent,) in rows), (
                f"I9: an op of a local memory of {replica.name} may leave"
            )

    def settle(self) -> None:
        """The network works, clocks are right, no rule holds anything back: everybody exchanges until all is quiet."""
        while self.late:
            self.deliver(self.late[0])
        for replica in self.replicas:
            self.check_wire()
            self.let_go(replica)
            replica.jump(0)
            replica.restart()
        for _ in range(4):
            for replica in self.replicas:
                with replica.here():
                    replica.engine.exchange()

    def check(self) -> None:
        """Everything, once all is quiet."""
        self.check_wire()
        self.check_local()
        for account, told in self.told.items():
            feed = self.feed(account)
            devices = self.of(account)
            for replica in devices:
                counts = outbox_counts(replica)
                assert (counts["new"], counts["offered"], counts["held"]) == (0, 0, 0), f"the outbox drains: {counts}"
                assert replica.shared() == feed, f"I1: {replica.name} holds other ops than the account"
            assert len({replica.digest() for replica in devices}) <= 1, "I1: devices differ"
            self._check_rows(account, feed, devices)
            self._check_told(account, told, feed)

    def _check_told(self, account: uuid.UUID, told: Told, feed: dict[str, tuple[str, str]]) -> None:
        ops = [Op.parse(text) for _, text in feed.values()]
        gone = {op.id for op in ops if op.purge}
        whole = [op for op in ops if not is_blank(op)]
        assert len({op.nonce for op in whole}) == len(whole), "I3: one write of a person is more than one op"
        held = {op.nonce: op for op in whole}
        # what was forgotten before anybody else heard of it needs no purge there
        assert told.forgotten & {op.id for op in ops} <= gone, "I7: a purge is lost"
        for nonce, op in told.ops.items():
            if op.id in gone | told.forgotten:
                continue
            assert nonce in held, f"I2: lost a write that was told to be kept: {op}"
            assert held[nonce].set == op.set, "I2: a write is another one"
        assert gone <= told.ever_forgotten, "I7: forgotten though nobody said so"
        theirs = {nonce for other, one in self.told.items() if other != account for nonce in one.ops}
        assert not theirs & held.keys(), "I6: a write of another account"

    def _check_rows(self, account: uuid.UUID, feed: dict[str, tuple[str, str]], devices: list[Replica]) -> None:
        """I5 and I7 by a fold of its own, on the server and on each device; I8 of the words that are found."""
        ops = [Op.parse(text) for _, text in feed.values()]
        gone = {op.id for op in ops if op.purge}
        best: dict[str, dict[str, tuple[str, Any]]] = {}
        for op in ops:
            if op.id in gone:
                assert is_blank(op), "I7: a purge leaves nothing"
                continue
            for name, value in op.set.items():
                held = best.setdefault(op.id, {}).get(name)
                if held is None or op.stamp > held[0]:
                    best[op.id][name] = (op.stamp, value)
        want = {
            id: (fields["content"][1], tuple(fields.get("tags", ("", ()))[1]), bool(fields.get("deleted", ("", False))[1]))
            for id, fields in best.items() if "content" in fields
        }  # fmt: skip
        rows = self.tables.fetch(
            "SELECT id, content, deleted, tags FROM jmem.memories WHERE user_id = $1 AND NOT purged", account)  # fmt: skip
        assert {r["id"]: (r["content"], tuple(r["tags"]), r["deleted"]) for r in rows} == want, (
            "I5: rows of the account"
        )
        for replica in devices:
            state = replica.state()
            assert {id: row[:3] for id, row in state.items()} == want, f"I5: {replica.name}"
            live = {id for (id,) in replica.query("SELECT id FROM memories WHERE NOT deleted")}
            found = {
                id for (id,) in replica.query("SELECT m.id FROM memory_fts f JOIN memories m ON m.rowid = f.rowid")
            }
            assert found == live, f"I8: {replica.name} finds other memories than it has"


def outbox_counts(replica: Replica) -> dict[str, int]:
    """Ops by how far they have come."""
    with replica.user.store.reader() as conn:
        return outbox.counts(conn)
