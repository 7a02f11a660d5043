"""The whole account as one zip archive, made while it is sent: its size costs no memory."""

from __future__ import annotations

import json
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from hosted.db.engine import driver
from hosted.identity import audit, devices, grants, keys
from hosted.identity.principal import Principal
from hosted.memories.service import Backend
from jmem.core.filter import EVERYTHING
from jmem.core.model import MAX_LIMIT

AUDIT_PAGE = 200
README = """\
This is everything that jmem keeps of the account {email} ({id}), as of {at}.

memories.jsonl     every memory, a line each (more for a very long history), with all of its changes; deleted ones too, and
                   of what was forgotten for ever that it was. `jmem import memories.jsonl` takes it back whole.
keys.json          API keys and personal URLs, with their permissions and last use, those that were revoked too. The keys
                   themselves are not kept by jmem, so they are not in here.
connections.json   programs that were let in
devices.json       machines that sync
activity.jsonl     who asked for what and which memories it got, newest first
audit.jsonl        what was done to the account, newest first
"""


class _Sink:
    """A file that is written from the front to the end, and emptied meanwhile."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def taken(self) -> bytes:
        """What was written since it was last asked."""
        held, self._held = self._held, []
        return b"".join(held)


async def pieces(backend: Backend, principal: Principal) -> AsyncIterator[bytes]:
    """The archive of the account that asks, piece by piece."""
    sink = _Sink()
    files = {
        "README.txt": _readme(principal), "keys.json": _keys(backend, principal),
        "connections.json": _connections(backend, principal), "devices.json": _devices(backend, principal), "memories.jsonl": _memories(backend, principal),
        "activity.jsonl": _activity(backend, principal), "audit.jsonl": _audit(backend, principal),
    }  # fmt: skip
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:  # type: ignore[call-overload]
        for name, lines in files.items():
            entry = zipfile.ZipInfo(name, datetime.now(UTC).timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                async for line in lines:
                    file.write(line.encode() + b"\n")
                    if held := sink.taken():
                        yield held
            yield sink.taken()
    yield sink.taken()


async def _readme(principal: Principal) -> AsyncIterator[str]:
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield README.format(email=principal.email or "without an address", id=principal.user_id, at=at)


async def _keys(backend: Backend, principal: Principal) -> AsyncIterator[str]:
    async with backend.database.tenant(principal.user_id) as conn:
        found = await keys.listed(conn, principal.user_id, revoked=True)
    yield json.dumps([key.public() for key in found], ensure_ascii=False, indent=1)


async def _connections(backend: Backend, principal: Principal) -> AsyncIterator[str]:
    async with backend.database.tenant(principal.user_id) as conn:
        found = await grants.listed(conn, principal.user_id)
    yield json.dumps([grant.public() for grant in found], ensure_ascii=False, indent=1)


async def _devices(backend: Backend, principal: Principal) -> AsyncIterator[str]:
    async with backend.database.tenant(principal.user_id) as conn:
        found = await devices.listed(conn, principal.user_id)
    yield json.dumps([device.public() for device in found], ensure_ascii=False, indent=1)


def _memories(backend: Backend, principal: Principal) -> AsyncIterator[str]:
    return backend.of(principal.user_id).export(EVERYTHING, principal.actor, detail={"format": "zip"})


async def _activity(backend: Backend, principal: Principal) -> AsyncIterator[str]:
    memories, before = backend.of(principal.user_id), None
    while found := await memories.accesses(principal.actor, before=before, limit=MAX_LIMIT):
        for access in found:
            yield json.dumps(access.as_dict(), ensure_ascii=False)
        before = found[-1].id


async def _audit(backend: Backend, principal: Principal) -> AsyncIterator[str]:
    cursor: str | None = None
    while True:
        async with backend.database.tenant(principal.user_id) as conn:
            entries, cursor = await audit.page(driver(conn), principal.user_id, AUDIT_PAGE, cursor)
        for entry in entries:
            yield json.dumps(entry.model_dump(), ensure_ascii=False)
        if cursor is None:
            return
