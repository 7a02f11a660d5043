"""The composition root: what the daemon is made of, in the order in which it is taken apart again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon import api
from daemon.backups import DailyBackups
from daemon.context import Daemon
from daemon.dispatch import App
from daemon.events import Hub
from daemon.http import Table
from daemon.idle import Idle
from daemon.lock import FileLock
from daemon.logs import Log
from daemon.mcp_gate import McpGate
from daemon.metrics import Metrics, timed
from daemon.security import Gate
from daemon.sockets import Tcp
from daemon.users import UserMemory, Users
from jmem.core import places
from jmem.core.errors import JmemError
from jmem.core.settings import Settings

if TYPE_CHECKING:
    from jmem.core.embed import Embedder

THREADS = 16


class Running:
    """The daemon's parts. Made before the event loop runs; `start` and `close` are called on it."""

    def __init__(self, settings: Settings, embedder: Embedder, tcp: Tcp, lock: FileLock, note: dict[str, Any], stop: Callable[[], None], activated: bool) -> None:  # fmt: skip
        self.settings = settings
        metrics = Metrics()
        self.embedder = timed(embedder, metrics.embeds)
        self.log = Log(Path(places.log_path(str(settings.home))), settings["log.level"])
        self._log = self.log.bind("daemon")
        self.pool = ThreadPoolExecutor(THREADS, "jmem-http")
        self.hub = Hub()
        self.users = Users(settings, self.embedder, note, self._opened, self.log.bind("sync"))
        self.backups = DailyBackups(self.users, settings["backup.keep"], self.log.bind("backups"))
        self.daemon = Daemon(
            settings, self.users, tcp, self.log, metrics, self.hub, self.backups, lock, stop, self.embedder, activated
        )

        self.mcp = McpGate(self.users, settings, metrics)
        gate = Gate(tcp.port, self.users.user_of_token)
        self.app = App(self.daemon, gate, Table(api.groups()), self.pool, self.mcp)
        api.add_gauges(self.daemon)

    def start(self) -> None:
        """Bind to the running event loop."""
        asyncio.get_running_loop().set_default_executor(self.pool)
        self.hub.start()
        self.backups.start()
        self._background: set[asyncio.Task[Any]] = set()
        tcp = self.daemon.tcp
        trouble = {"trouble": tcp.trouble} if tcp.trouble else {}
        self._log.info("started", port=tcp.port, build=self.daemon.build, **trouble)
        if self.users.has_clients():
            task = asyncio.create_task(self.mcp.warm())
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        for name in self.users.signed_in():
            self.pool.submit(self._open, name)
        idle_stop = Idle(
            self.settings["idle.stop"], lambda: self.app.last_used, lambda: self.app.active > 0, self.daemon.stop
        )
        idle_unload = Idle(self.settings["idle.unload"], lambda: self.embedder.last_used, lambda: False, self._unload)
        self.app.on_use += [idle_stop.touch, idle_unload.touch]
        for touch in self.app.on_use:
            touch()

    async def drain(self) -> None:
        """End what would never end by itself, or late: streams of events and of MCP, and whoever waits for an exchange."""
        for memory in self.users.opened():
            memory.syncer.cut()
        self.hub.close()
        self.backups.stop()
        await self.mcp.close()

    def close(self) -> None:
        """Close every memory: what was acknowledged is on disk already, this makes it tidy."""
        self.users.close()
        self._log.info("stopped")
        self.log.close()

    # ---- inside -------------------------------------------------------------------------------

    def _opened(self, memory: UserMemory) -> None:
        memory.store.on_commit(lambda seq: self._wrote(memory.id))
        memory.access.on_written = lambda: self.hub.notify(memory.id, access=True)
        if lost := memory.watch.look():
            self._log.warning("the store seems to be lost", user=memory.id, reason=lost.reason, fix=lost.fix)
        self.hub.notify(memory.id)  # it may be another store than before

    def _wrote(self, user_id: str) -> None:
        self.hub.notify(user_id)
        self.backups.wrote(user_id)
        memory = self.users.opened_as(user_id)
        if memory is not None:
            memory.syncer.wrote()

    def _open(self, name: str) -> None:
        """Open the memory of somebody who is signed in, so that it is exchanged; what keeps it closed is told to who asks."""
        try:
            self.users.open(name)
        except JmemError as error:
            self._log.warning("can't sync", user=name, code=error.code, why=error.message)

    def _unload(self) -> None:
        """Give back the memory of the model and of the indexes; the next use takes it again."""
        if self.embedder.loaded:
            self._log.info("released the model after a time without use")
            self.pool.submit(self._release)

    def _release(self) -> None:
        self.embedder.unload()
        for memory in self.users.opened():
            memory.release()
