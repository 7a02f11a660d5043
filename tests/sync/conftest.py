"""A real account to exchange with: the hosted application over Postgres, on a port; who asks is named by the token."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import uvicorn

from hosted.app import make_app
from hosted.db.engine import Database
from hosted.memories.service import Backend
from hosted.ops.events import Bus
from jmem.core import outbox
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.outbox import TakenIn
from sync.engine import Engine, Progress
from sync.remote import Remote
from tests.core.conftest import User, open_user
from tests.hosted.conftest import database_name, database_url, databases, owner_url
from tests.hosted.letin import LetIn

__all__ = ["database_name", "database_url", "databases", "owner_url"]
ME = Actor("cli")


class _Server(uvicorn.Server):
    """Ends its streams of hints before it waits for its connections."""

    bus: Bus

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.bus.end_streams()
        await super().shutdown(sockets)


@pytest.fixture(scope="module")
def account_url(database_url: str) -> Iterator[str]:
    """Where the account is served."""
    bus = Bus()
    app = make_app(Backend(Database(database_url, pool_size=5), bus), identity=LetIn())
    server = _Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="on", ws="none"))
    server.bus = bus
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@dataclass
class Device:
    """A store with an engine of its own."""

    user: User
    engine: Engine
    remote: Remote
    came: list[TakenIn] = field(default_factory=list)

    def add(self, content: str, **fields: object) -> str:
        return self.user.service.add(Draft(content, **fields), ME).memory.id  # type: ignore[arg-type]

    def exchange(self) -> Progress:
        return self.engine.exchange()

    def texts(self) -> dict[str, str]:
        """Every live memory's text by id."""
        return {m.id: m.content for m in self.user.service.list(ALL, ME, limit=1000).memories}

    def log(self) -> dict[str, str]:
        """Every op that may leave: its digest by stamp."""
        with self.user.store.reader() as conn:
            return dict(conn.execute("SELECT stamp, digest FROM ops WHERE sent <> 2").fetchall())

    def counts(self) -> dict[str, int]:
        with self.user.store.reader() as conn:
            return outbox.counts(conn)


from jmem.core.filter import Filter  # noqa: E402

ALL = Filter(states=())


class Devices:
    """Makes devices of one account."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self.account = url, folder, uuid.uuid4()
        self.made: list[Device] = []

    def make(self, name: str = "", *, transport: httpx.BaseTransport | None = None) -> Device:
        user = open_user(self.folder / (name or f"device{len(self.made)}"))
        remote = Remote(
            self.url,
            user.store.store_id,
            lambda refused: str(self.account),
            httpx.Client(transport=transport, timeout=20),
        )
        came: list[TakenIn] = []

        def changed(taken: TakenIn) -> None:
            came.append(taken)
            if taken.purged:
                user.service.finish_purges()

        device = Device(user, Engine(user.store, remote, changed), remote, came)
        self.made.append(device)
        return device

    def settle(self) -> None:
        """Exchange until nobody has anything new."""
        for _ in range(3):
            for device in self.made:
                device.exchange()

    def close(self) -> None:
        for device in self.made:
            device.remote.close()
            device.user.close()


@pytest.fixture
def devices(account_url: str, tmp_path: Path) -> Iterator[Devices]:
    made = Devices(account_url, tmp_path)
    yield made
    made.close()
