"""What a device and an account are made to meet: clocks of their own, a transport with faults, rows put back from a copy."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx

from hosted.ops import writer as hosted_writer
from jmem.core import clock

if TYPE_CHECKING:
    from tests.sync.replica import Replica


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
        self.meanwhile: tuple[int, int, Callable[[], None]] | None = None
        """what its person does before a request of a thread leaves: how many of them go first, the thread, and that"""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._do_meanwhile()
        body = request.read()
        call = request.url.path.rpartition("/")[2]
        self.sent.append(f"{request.method} {request.url} {request.headers}".encode() + body)
        self.calls.append(call)
        return self._meet(self._fault(call), call, request, body)

    def _do_meanwhile(self) -> None:
        if self.meanwhile is None or self.meanwhile[1] != threading.get_ident():
            return
        first, thread, work = self.meanwhile
        self.meanwhile = None if first == 0 else (first - 1, thread, work)
        if first == 0:
            work()

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
