"""Texts of one memory that were written apart, as `jmem.core.conflicts` has them on a device.

Which memories have any is marked on their rows by every write that brings a text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING
from uuid import UUID

from hosted.memories.activity import asks
from hosted.memories.base import Account
from hosted.memories.caps import spend
from hosted.memories.finding import load, plain, resolve
from hosted.ops import log
from hosted.ops.rows import COLUMNS, IS_MEMORY, memory_of
from jmem.core.actor import Actor
from jmem.core.apart import Conflict, Settle, Settled, chosen, conflict_of, fields_of, must_be_open
from jmem.core.model import MAX_ANSWER_BYTES, Memory, Op, new_id
from jmem.core.paging import check_limit, decode_cursor, encode_cursor

if TYPE_CHECKING:
    from hosted.db.engine import Driver

APART = f"m.apart AND NOT m.deleted AND {IS_MEMORY}"
"""The condition for memories with a conflict that is told of."""
_PAGE = f"SELECT {COLUMNS} FROM jmem.memories m WHERE m.user_id = $1 AND {APART} AND m.id > $2 ORDER BY m.id LIMIT $3"
_APART_AMONG = f"SELECT m.id FROM jmem.memories m WHERE m.user_id = $1 AND m.id = ANY ($2::text[]) AND {APART}"
_MACHINES = """
SELECT o.stamp, coalesce(nullif(d.name, ''), left(o.device, 12)) AS name FROM jmem.ops o
LEFT JOIN jmem.devices d ON d.user_id = o.user_id AND d.device = o.device
WHERE o.user_id = $1 AND o.stamp = ANY ($2::text[]) AND o.device IS NOT NULL"""


class Conflicts(Account):
    """The part of `Memories` that is about texts written apart."""

    @asks("conflicts")
    async def conflicts(
        self, actor: Actor, *, limit: int = 50, cursor: str | None = None, id: str | None = None
    ) -> tuple[Sequence[Conflict], str | None]:
        """The conflicts of memories that are not deleted, or that of one memory, and the next cursor. A page has fewer than
        `limit` where more would not fit into an answer.

        Raises Invalid, NotFound `no_conflict`, Ambiguous.
        """
        actor.may("read", "everything")
        check_limit(limit)
        if id is not None:
            async with self._reading() as raw:
                one = await _of(raw, self.user_id, await resolve(raw, self.user_id, id, actor))
                found = await _placed(raw, self.user_id, [one])
            self._log(actor, "get", [found[0].memory])
            return found, None
        after = "" if cursor is None else plain(decode_cursor(cursor, "conflicts", 1)[0])
        async with self._reading() as raw:
            memories = [memory_of(record) for record in await raw.fetch(_PAGE, self.user_id, after, limit + 1)]
            found, looked_at = await _texts(raw, self.user_id, memories[:limit])
            found = await _placed(raw, self.user_id, found)
        self._log(actor, "list", [one.memory for one in found])
        more = len(memories) > len(looked_at)
        return found, encode_cursor("conflicts", looked_at[-1].id) if more else None

    async def written_apart(self, ids: Collection[str]) -> set[str]:
        """Which of the memories with these whole ids have texts that were written apart."""
        if not ids:
            return set()
        async with self._reading() as raw:
            return {record["id"] for record in await raw.fetch(_APART_AMONG, self.user_id, list(ids))}

    @asks("settle")
    async def settle(
        self, id: str, actor: Actor, how: Settle, *, version: str = "", content: str | None = None,
        expected: Sequence[str] | None = None, secrets: str = "refuse",
    ) -> Settled:  # fmt: skip
        """Settle a conflict, as one action. "keep": the text of one `version` (its stamp, or its number in the list) stays;
        "both": each other text becomes a memory of its own; "text": `content` is written in the place of all.

        `expected` are the stamps that were read. Raises NotFound `no_conflict`, Ambiguous, Conflict `changed`, Invalid,
        TooLarge, SecretFound, Refused; nothing is changed then.
        """
        actor.may("read", "write", "everything")
        async with self._writing() as writer:
            found = await _of(writer.raw, self.user_id, await resolve(writer.raw, self.user_id, id, actor))
            actor.may_change(found.memory)
            kept, others = chosen(found, how, version, content, expected, secrets)
            await spend(writer, actor, 1 + len(others))
            action = writer.begin(actor.client, "settle")
            memory = await writer.write(action, found.memory.id, {"content": kept})
            assert memory is not None
            registers = (await writer.row(memory.id)).registers
            made = await writer.add(action, [(new_id(), fields_of(memory, other, registers)) for other in others])
        settled = Settled(memory, tuple(made))
        self._log(actor, "edit", [settled.memory, *settled.others])
        return settled


async def _of(raw: Driver, user_id: UUID, id: str) -> Conflict:
    memory = await load(raw, user_id, id)
    return must_be_open(conflict_of(memory, [op async for op in log.texts(raw, user_id, [id])]))


async def _placed(raw: Driver, user_id: UUID, found: Sequence[Conflict]) -> list[Conflict]:
    """With the names of the machines that brought the texts; what was written in the account came from none."""
    stamps = [version.stamp for one in found for version in one.versions]
    names = {r["stamp"]: r["name"] for r in await raw.fetch(_MACHINES, user_id, stamps)} if stamps else {}
    return [one.placed(names) for one in found]


async def _texts(raw: Driver, user_id: UUID, memories: Sequence[Memory]) -> tuple[list[Conflict], Sequence[Memory]]:
    """The conflicts of the first of these memories, in the order of their ids, and which memories those are: all, or as
    many as one answer has room for. What was settled since they were read is none."""
    found: dict[str, list[Op]] = {}
    room, looked_at = MAX_ANSWER_BYTES, memories
    async with aclosing(log.texts(raw, user_id, [memory.id for memory in memories])) as texts:
        async for op in texts:
            if room < 0 and op.id not in found:
                looked_at = [memory for memory in memories if memory.id < op.id]
                break
            found.setdefault(op.id, []).append(op)
            room -= len(op.set["content"])
    shown = [conflict_of(memory, found.get(memory.id, ())) for memory in looked_at]
    return [one for one in shown if one.open], looked_at
