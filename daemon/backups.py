"""The daily backup of every user: one timer to the next one that is due, computed from the backups that exist.

Nothing ticks in between. A timer of the event loop does not count the time a laptop sleeps, and the clock may
be set: a write therefore also looks whether its user's backup has become due meanwhile. A store that did not
change since its newest daily backup gets none.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmem.core.backup import DAY_MS, daily_due, is_backed_up, prune, reading, write_backup
from jmem.core.clock import wall_ms
from jmem.core.errors import JmemError
from jmem.core.lost import lost
from jmem.core.store.store import DATABASE

if TYPE_CHECKING:
    from daemon.users import Users

START_S = 3.0
"""After the start, which has other things to do first."""
RETRY_MS = 3_600_000
"""After one that failed (disk full)."""


class DailyBackups:
    """Makes each user's daily backup and keeps the newest `keep`; 0 makes none. Lives on the event loop."""

    def __init__(self, users: Users, keep: int, log: Any) -> None:
        self._users = users
        self._keep = keep
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._due: dict[str, int | None] = {}
        """user id -> when; None for an empty store, 0 while that is being found out"""
        self._looked = False

    def start(self) -> None:
        """Bind to the running loop; what is overdue is made soon, not at once."""
        if self._keep:
            self._loop = asyncio.get_running_loop()
            self._timer = self._loop.call_later(START_S, self._look)

    def stop(self) -> None:
        """Make no more of them; one under way is finished by the thread that makes it."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def wrote(self, user_id: str) -> None:
        """A user's store has changed; from any thread, and cheap."""
        due = self._due.get(user_id)
        if due != 0 and (due is None or due <= wall_ms()) and self._looked and (loop := self._loop) is not None:
            self._due[user_id] = 0
            loop.call_soon_threadsafe(self._look)

    def due(self, user_id: str) -> int | None:
        """When the next one is due, in ms; None for an empty store, or when there are none."""
        return self._due.get(user_id) or None

    # ---- inside -------------------------------------------------------------------------------

    def _look(self) -> None:
        if self._loop is not None and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        self._looked = True
        for name in self._users.names():
            user_id, folder = self._users.id_of(name), self._users.folder(name)
            self._due[user_id] = await asyncio.to_thread(self._serve, user_id, folder)
            if self._loop is None:
                return
        self._arm()

    def _serve(self, user_id: str, folder: Path) -> int | None:
        """Make the backup if it is due; when the next one is."""
        try:
            due = daily_due(folder, wall_ms())
            if due is None or due > wall_ms():
                return due
            if is_backed_up(folder):
                return wall_ms() + DAY_MS
            made = write_backup(folder, "daily")
            with reading(folder / DATABASE) as conn:
                gone = lost(folder, conn)
            removed = prune(folder, self._keep, spare=gone.copy if gone else None)
            self._log.info("daily backup", user=user_id, name=made.path.name, bytes=made.bytes, removed=len(removed))
            return daily_due(folder, wall_ms())
        except (JmemError, OSError, sqlite3.Error) as error:
            code = error.code if isinstance(error, JmemError) else "storage_failed"
            self._log.warning("no daily backup", user=user_id, code=code, reason=str(error))
            return wall_ms() + RETRY_MS

    def _arm(self) -> None:
        """Set the timer to the next one that is due."""
        due = min((at for at in self._due.values() if at), default=None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None and self._loop is not None:
            self._timer = self._loop.call_later(max(due - wall_ms(), 1_000) / 1000, self._look)
