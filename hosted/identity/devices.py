"""Machines that sync with an account: who they are, what they have, and shutting one out.

A machine is known by the id of its store, which it tells with every call of sync. It names itself, and gets a number behind
the name where another one is called so; nothing is decided by the name. What is told here is written once a minute at most
for each machine, behind the answer, and before a list is read.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from sqlalchemy import RowMapping, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from hosted.db.engine import DATABASE_FAILURES, Database
from hosted.identity import audit, grants, keys
from hosted.identity.principal import Principal
from hosted.identity.tables import devices
from jmem.core.errors import JmemError, NotFound
from sync.protocol import MAX_DEVICE_CHARS

EVERY_S = 60.0
"""Seconds between two writes about one machine."""
FIRST_S = 1.0
"""Seconds after a first call, so that what follows it is in the first write."""
IDLE_S = 900.0
"""The same for one that does nothing but listen."""
MAX_DEVICES = 200
"""Of one account; a machine beyond them syncs, and is not listed."""
MAX_KNOWN = 20_000
"""Machines that this process remembers having written about."""
MAX_NAME, MAX_PLATFORM = 100, 40
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_DEVICE_CHARS - 1}}}")
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('jmem.devices ' || :user, 0))")
"""So that two machines of an account that come at once get two names."""
_SEEN = text("""
WITH said AS (SELECT CAST(:name AS text) AS name), free AS (
  SELECT CASE n WHEN 1 THEN said.name ELSE said.name || ' ' || n END AS name FROM said, generate_series(1, :most + 1) n
  WHERE said.name = '' OR NOT EXISTS (
    SELECT FROM jmem.devices o WHERE o.user_id = :user_id AND o.device <> :device
      AND o.name = CASE n WHEN 1 THEN said.name ELSE said.name || ' ' || n END)
  ORDER BY n LIMIT 1)
INSERT INTO jmem.devices AS d (user_id, device, name, platform, via, proof, pulled_seq, pushed_seq)
SELECT :user_id, :device, free.name, :platform, :via, :proof, :pulled, :pushed FROM free
WHERE (SELECT count(*) FROM jmem.devices WHERE user_id = :user_id AND device <> :device) < :most
ON CONFLICT (user_id, device) DO UPDATE SET last_seen = now(), via = excluded.via, proof = excluded.proof,
  name = CASE WHEN excluded.name = '' OR d.name IN (SELECT name FROM said) OR d.name IN (
    SELECT name || ' ' || substr(d.name, char_length(name) + 2) FROM said
    WHERE substr(d.name, char_length(name) + 2) ~ '^[0-9]+$') THEN d.name ELSE excluded.name END,
  platform = coalesce(nullif(excluded.platform, ''), d.platform),
  pulled_seq = coalesce(excluded.pulled_seq, d.pulled_seq), pushed_seq = coalesce(excluded.pushed_seq, d.pushed_seq),
  revoked_at = NULL WHERE d.revoked_at IS NULL OR d.proof <> excluded.proof""")
"""A machine keeps the name that it has here while it calls itself the same; a new one gets a number where the name is taken."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    """What a machine has told since it was last written down."""

    values: dict[str, Any]
    written: float
    timer: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A machine. `behind`: how many changes of the account it has not read."""

    id: str
    name: str
    platform: str
    via: str
    first_seen: datetime
    last_seen: datetime
    pulled_seq: int | None
    pushed_seq: int | None
    behind: int

    def public(self) -> dict[str, Any]:
        """The shape of the API."""
        return {
            "id": self.id, "name": self.name, "platform": self.platform, "via": self.via,
            "first_seen": self.first_seen.isoformat(), "last_seen": self.last_seen.isoformat(),
            "pulled_seq": self.pulled_seq, "pushed_seq": self.pushed_seq, "behind": self.behind,
        }  # fmt: skip


class Register:
    """Writes down which machines call. One for each process; used on its event loop alone."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[UUID, str], _Known] = OrderedDict()
        self._writing: dict[asyncio.Task[None], UUID] = {}

    def seen(
        self, request: Request, principal: Principal, device: str | None = None, *, pulled: int | None = None,
        pushed: int | None = None, idle: bool = False,
    ) -> None:  # fmt: skip
        """A machine has called. `pulled`, `pushed`: the last seq that it was given, and that it brought; `idle`: it listens."""
        device = device or request.headers.get("x-jmem-device", "")
        if not _ID.fullmatch(device):
            return
        values = {
            "name": _plain(unquote(request.headers.get("x-jmem-device-name", "")), MAX_NAME),
            "platform": _plain(request.headers.get("x-jmem-platform", ""), MAX_PLATFORM),
            "via": principal.via, "proof": str(principal.key_id or principal.session_id or ""),
        }  # fmt: skip
        key = (principal.user_id, device)
        known = self._known.get(key)
        if known is None or any(values[name] != known.values[name] for name in ("proof", "name")):
            if known is not None and known.timer is not None:
                known.timer.cancel()
            known = self._known[key] = _Known({**values, "pulled": None, "pushed": None}, float("-inf"))
        self._known.move_to_end(key)
        changes = {"pulled": pulled, "pushed": pushed}
        known.values |= {name: value for name, value in changes.items() if value is not None}
        if known.timer is None and not (idle and time.monotonic() < known.written + IDLE_S):
            wait = max(FIRST_S, known.written + EVERY_S - time.monotonic())
            known.timer = asyncio.get_running_loop().call_later(wait, self._begin, key)
        while len(self._known) > MAX_KNOWN:
            _, old = self._known.popitem(last=False)
            if old.timer is not None:
                old.timer.cancel()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write the last visits down before the application ends."""
        try:
            yield
        finally:
            await self.flush()
            self._known.clear()

    async def flush(self, user_id: UUID | None = None) -> None:
        """Have every visit written down that was told of; of one account, where one is named."""
        for key, known in self._known.items():
            if known.timer is not None and user_id in (None, key[0]):
                known.timer.cancel()
                self._begin(key)
        writing = [task for task, whose in self._writing.items() if user_id in (None, whose)]
        if writing:
            await asyncio.wait(writing)  # who does not wait to the end ends none of them

    def _begin(self, key: tuple[UUID, str]) -> None:
        known = self._known.get(key)
        if known is None:
            return
        known.timer, known.written = None, time.monotonic()
        task = asyncio.get_running_loop().create_task(self._write(key, dict(known.values)))
        self._writing[task] = key[0]  # the loop itself holds tasks weakly
        task.add_done_callback(self._writing.pop)

    async def _write(self, key: tuple[UUID, str], values: dict[str, Any]) -> None:
        user_id, device = key
        try:
            async with self._database.tenant(user_id) as conn:
                await conn.execute(_ALONE, {"user": str(user_id)})
                await conn.execute(_SEEN, {**values, "user_id": user_id, "device": device, "most": MAX_DEVICES})
        except (JmemError, *DATABASE_FAILURES) as error:
            log.warning("a machine's visit is not written down: %s", type(error).__name__)


async def listed(conn: AsyncConnection, user_id: UUID) -> list[Device]:
    """The machines that may sync, the last one seen first."""
    head = text("coalesce((SELECT seq FROM jmem.sync_heads h WHERE h.user_id = devices.user_id), 0) AS head")
    asked = select(devices, head).where(devices.c.user_id == user_id, devices.c.revoked_at.is_(None))
    rows = await conn.execute(asked.order_by(devices.c.last_seen.desc(), devices.c.device))
    return [_device(row) for row in rows.mappings()]


async def revoke(conn: AsyncConnection, user_id: UUID, device: str) -> Device:
    """Refuse the session or key that the machine used last, for ever; it may sign in anew. Raises NotFound."""
    mine = (devices.c.user_id == user_id) & (devices.c.device == device) & devices.c.revoked_at.is_(None)
    changed = update(devices).where(mine).values(revoked_at=func.now()).returning(devices, text("0 AS head"))
    row = (await conn.execute(changed)).mappings().first()
    if row is None:
        raise NotFound("there is no such device", code="unknown_device", id=device, fix="jmem account devices")
    if row["via"] == "api_key":
        await keys.revoke(conn, user_id, UUID(row["proof"]))
    else:
        await grants.sign_out(conn, user_id, row["proof"], for_ever=True)
    await audit.note(conn, user_id, "device.revoked", target=device, via_was=row["via"])
    return _device(row)


def _device(row: RowMapping) -> Device:
    return Device(
        row["device"], row["name"], row["platform"], row["via"], row["first_seen"], row["last_seen"], row["pulled_seq"],
        row["pushed_seq"], max(0, row["head"] - (row["pulled_seq"] or 0)),
    )  # fmt: skip


def _plain(text: str, most: int) -> str:
    return "".join(c for c in text if c.isprintable()).strip()[:most]
