"""A stream of acknowledged writes from four clients, and the ledger that says what must be there afterwards."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import random
import threading
import time
from dataclasses import dataclass, field

from bench.home import Home, Mcp, wait_for

_GONE = (OSError, http.client.HTTPException)


@dataclass
class Ledger:
    """What one client was told. A request without an answer may or may not have happened."""

    live: dict[str, str] = field(default_factory=dict)
    """id -> content, acknowledged"""
    deleted: set[str] = field(default_factory=set)
    """ids whose deletion was acknowledged"""
    maybe: dict[str, set[str | None]] = field(default_factory=dict)
    """id -> what an unanswered request may have made of it (None: deleted)"""
    unanswered: set[str] = field(default_factory=set)
    """contents of adds without an answer"""
    acknowledged: int = 0
    failures: list[str] = field(default_factory=list)
    """answers that were neither an acknowledgement nor a broken connection"""


class Writer(threading.Thread):
    """Writes as fast as it is answered until the daemon is gone or `enough` is set."""

    def __init__(self, home: Home, ledger: Ledger, enough: threading.Event, seed: int) -> None:
        super().__init__(daemon=True)
        self.home, self.ledger, self.enough = home, ledger, enough
        self.random = random.Random(seed)
        self._texts = (f"{self.kind} note {seed} {n}: {self.random.random():.12f}" for n in itertools.count())

    kind = ""
    answered = False

    def run(self) -> None:
        """Write until told to stop, and note what was acknowledged."""
        try:
            self.connect()
            while not self.enough.is_set():
                self.step()
                self.answered = True
        except _GONE:
            pass
        except Exception as error:
            self.ledger.failures.append(f"{self.kind}: {error!r}")
        finally:
            with contextlib.suppress(AttributeError):
                self.disconnect()

    def step(self) -> None:
        """One add, edit or delete of a memory of this writer's own."""
        book, known = self.ledger, [i for i in self.ledger.live if i not in self.ledger.maybe]
        dice = self.random.random()
        if dice < 0.6 or len(known) < 3:
            text = next(self._texts)
            book.unanswered.add(text)
            book.live[self.add(text)] = text
            book.unanswered.discard(text)
        else:
            id = self.random.choice(known)
            new = None if dice > 0.85 or not self.can_edit else next(self._texts)
            book.maybe[id] = {new}
            if new is None:
                self.delete(id)
                del book.live[id]
                book.deleted.add(id)
            else:
                self.edit(id, new)
                book.live[id] = new
            del book.maybe[id]
        book.acknowledged += 1

    can_edit = True

    def connect(self) -> None:
        """Open what writes."""
        raise NotImplementedError

    def disconnect(self) -> None:
        """Close what writes."""
        raise NotImplementedError

    def add(self, text: str) -> str:
        """Store a text; its id."""
        raise NotImplementedError

    def edit(self, id: str, text: str) -> None:
        """Change the text of a memory."""
        raise NotImplementedError

    def delete(self, id: str) -> None:
        """Delete a memory."""
        raise NotImplementedError


class SocketWriter(Writer):
    """Over the unix socket."""

    kind = "socket"

    def connect(self) -> None:
        """Open what writes."""
        self.api = self.home.api()

    def disconnect(self) -> None:
        """Close what writes."""
        self.api.close()

    def add(self, text: str) -> str:
        """Store a text; its id."""
        return str(self.api.add(text)["id"])

    def edit(self, id: str, text: str) -> None:
        """Change the text of a memory."""
        self.api.must("PATCH", f"/memories/{id}", {"content": text})

    def delete(self, id: str) -> None:
        """Delete a memory."""
        if self.api.must("DELETE", f"/memories/{id}")["deleted"] != [id]:
            raise AssertionError(f"{id} was not deleted")


class TcpWriter(SocketWriter):
    """Over loopback TCP with the bearer token."""

    kind = "tcp"

    def connect(self) -> None:
        """Open what writes."""
        self.api = self.home.tcp()


class McpWriter(Writer):
    """Over MCP's streamable HTTP, which knows no edit."""

    kind = "mcp"
    can_edit = False

    def connect(self) -> None:
        """Open what writes."""
        self.mcp: Mcp = self.home.mcp("writer")

    def disconnect(self) -> None:
        """Close what writes."""
        self.mcp.close()

    def add(self, text: str) -> str:
        """Store a text; its id."""
        result = self.mcp.tool("add_memories", text=text)
        if result.get("isError"):
            raise AssertionError(result)
        return str(result["structuredContent"]["memories"][0]["id"])

    def delete(self, id: str) -> None:
        """Delete a memory."""
        result = self.mcp.tool("delete_memories", memory_ids=[id])
        if result.get("isError") or result["structuredContent"]["deleted"] != [id]:
            raise AssertionError(result)


class CommandWriter(Writer):
    """One `jmem` process a write; the one that meets a dead daemon starts the next."""

    kind = "command"

    def connect(self) -> None:
        """Each command connects by itself."""

    def disconnect(self) -> None:
        """Nothing stays open."""

    def _run(self, *args: str) -> str:
        done = self.home.jmem(*args, check=False)
        if done.returncode == 3:
            raise ConnectionError(done.stderr)  # it says itself that nobody knows whether it was done
        if done.returncode:
            raise AssertionError(f"jmem {args}: exit {done.returncode}: {done.stderr[-400:]}")
        return done.stdout

    def add(self, text: str) -> str:
        """Store a text; its id."""
        return str(json.loads(self._run("add", text, "--json"))["id"])

    def edit(self, id: str, text: str) -> None:
        """Change the text of a memory."""
        self._run("edit", id, text)

    def delete(self, id: str) -> None:
        """Delete a memory."""
        self._run("rm", id, "--yes")


KINDS: tuple[type[Writer], ...] = (SocketWriter, TcpWriter, McpWriter, CommandWriter)


@dataclass
class Round:
    """One kill: what followed."""

    next_command_ms: float
    lost: list[str]
    back: list[str]
    strange: list[str]


class Killing:
    """Rounds of: four clients write, the daemon is killed, the next command works, the store is compared."""

    def __init__(self, home: Home, seed: int = 1) -> None:
        self.home, self.random = home, random.Random(seed)
        self.ledgers = [Ledger() for _ in KINDS]

    @property
    def acknowledged(self) -> int:
        """How many writes were acknowledged."""
        return sum(ledger.acknowledged for ledger in self.ledgers)

    @property
    def failures(self) -> list[str]:
        """What was lost or came back, a line each."""
        return [failure for ledger in self.ledgers for failure in ledger.failures]

    def round(self, number: int, shortest: float = 0.15, longest: float = 0.8) -> Round:
        """Write for a random while (seconds), kill -9, look at what is left.

        Every other round the while begins when each client was answered once; otherwise the daemon may die
        while it is still starting.
        """
        self.home.start()
        if not number:
            _ = self.home.token, self.home.mcp_url("writer")
        enough = threading.Event()
        writers = [
            kind(self.home, ledger, enough, number * 10 + at)
            for at, (kind, ledger) in enumerate(zip(KINDS, self.ledgers, strict=True))
        ]
        for writer in writers:
            writer.start()
        if number % 2:
            wait_for(lambda: all(writer.answered for writer in writers), 30, "an answer to each client")
        time.sleep(self.random.uniform(shortest, longest))
        self.home.kill()
        enough.set()
        start = time.perf_counter()
        self.home.jmem("search", "a note")
        took = (time.perf_counter() - start) * 1000
        for writer in writers:
            writer.join(30)
        return self.compare(took)

    def compare(self, took: float = 0.0) -> Round:
        """The store beside the ledgers; resolves what was unanswered."""
        with contextlib.closing(self.home.api()) as api:
            there = {m["id"]: m["content"] for m in api.every(state="all")}
        lost: list[str] = []
        back: list[str] = []
        known: set[str] = set()
        for ledger in self.ledgers:
            for id, content in list(ledger.live.items()):
                allowed = {content} | ledger.maybe.get(id, set())
                found = there.get(id)
                if found not in allowed:
                    lost.append(f"{id} {content!r} is {found!r}")
                if found is None:
                    del ledger.live[id]
                    ledger.deleted.add(id)
                else:
                    ledger.live[id] = found
            back += [id for id in ledger.deleted if id in there]
            texts = {content: id for id, content in there.items()}
            for content in ledger.unanswered & texts.keys():
                ledger.live[texts[content]] = content
            ledger.unanswered.clear()
            ledger.maybe.clear()
            known |= ledger.live.keys()
        strange = [f"{id} {content!r}" for id, content in there.items() if id not in known]
        return Round(took, lost, back, strange)
