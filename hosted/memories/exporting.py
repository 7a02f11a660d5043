"""Everything of an account out, a line at a time, as it stood when the export began.

No transaction stays open meanwhile, however slow who takes it is: what stood then is what the ops up to the feed's end of
then add up to. Only what is forgotten for ever while it goes on is missing from the rest.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from hosted.db.engine import Database, driver
from hosted.ops import feed
from jmem.core import merge
from jmem.core.filter import EVERYTHING, Filter
from jmem.core.merge import Registers
from jmem.core.model import Memory, Op
from jmem.core.portable.jsonl import Whole, plain_line
from jmem.core.portable.markdown import note_name, write_note

AT_ONCE = 200
"""Memories of one look."""
HELD_BYTES = 4 << 20
"""Of ops that are held at once."""
_SIZES = (
    "SELECT memory_id, sum(octet_length(payload))::bigint AS bytes FROM jmem.ops"
    " WHERE user_id = $1 AND seq <= $2 AND memory_id > $3 GROUP BY memory_id ORDER BY memory_id LIMIT $4"
)
_OPS = (
    "SELECT memory_id, seq, payload FROM jmem.ops WHERE user_id = $1 AND memory_id = ANY ($2::text[])"
    " ORDER BY memory_id, stamp"
)
_PART = "SELECT stamp, seq, payload FROM jmem.ops WHERE user_id = $1 AND memory_id = $2 AND stamp > $3 ORDER BY stamp LIMIT 32"


@dataclass(slots=True)
class _Folded:
    """A memory, as its ops come."""

    id: str
    upto: int
    registers: Registers
    purged: bool = False

    def take(self, seq: int, payload: str) -> bool:
        """Whether the op belongs into the export."""
        op = Op.parse(payload)
        self.purged = self.purged or op.purge
        if seq <= self.upto:
            merge.merge_op(self.registers, op)
        return seq <= self.upto

    def memory(self) -> Memory | None:
        return None if self.purged else merge.memory(self.id, self.registers)


class Export:
    """One export of one account."""

    def __init__(self, database: Database, user_id: UUID, filter: Filter, now: str) -> None:
        self._database, self._user_id, self._filter, self._now = database, user_id, filter, now

    async def jsonl(self, *, history: bool = True) -> AsyncIterator[str]:
        """One line a memory (more for a very long history), by id, without newlines."""
        upto = await feed.newest(self._database, self._user_id)
        async for ids in self._ids(upto):
            if isinstance(ids, str):
                async for line in self._heavy(ids, upto, history=history):
                    yield line
                continue
            for id, ops in (await self._ops(ids)).items():
                for line in self._lines(id, ops, upto, history=history):
                    yield line

    async def markdown(self) -> AsyncIterator[str]:
        """One line a memory: `{"path", "text"}` of its file."""
        used: set[str] = set()
        async for line in self._memories():
            name = note_name(line)
            if name.casefold() in used:
                name = f"{line.id}.md"
            used.add(name.casefold())
            yield json.dumps({"path": name, "text": write_note(line)}, ensure_ascii=False)

    # ---- inside -------------------------------------------------------------------------------

    async def _memories(self) -> AsyncIterator[Memory]:
        upto = await feed.newest(self._database, self._user_id)
        async for ids in self._ids(upto):
            if isinstance(ids, str):
                folded = [await self._fold(ids, upto)]
            else:
                folded = [_folded(id, ops, upto) for id, ops in (await self._ops(ids)).items()]
            for one in folded:
                memory = one.memory()
                if memory is not None and self._filter.passes(memory, self._now):
                    yield memory

    async def _ids(self, upto: int) -> AsyncIterator[list[str] | str]:
        """Ids whose ops may be held at once; one alone (no list) where its own are too many."""
        last = ""
        while True:
            async with self._database.tenant(self._user_id) as conn:
                sizes = await driver(conn).fetch(_SIZES, self._user_id, upto, last, AT_ONCE)
            some: list[str] = []
            held = 0
            for id, size in sizes:
                if some and held + size > HELD_BYTES:
                    yield some
                    some, held = [], 0
                if size > HELD_BYTES:
                    yield str(id)
                    continue
                some.append(id)
                held += size
            if some:
                yield some
            if len(sizes) < AT_ONCE:
                return
            last = sizes[-1]["memory_id"]

    async def _ops(self, ids: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
        found: dict[str, list[tuple[int, str]]] = {id: [] for id in ids}
        async with self._database.tenant(self._user_id) as conn:
            for id, seq, payload in await driver(conn).fetch(_OPS, self._user_id, list(ids)):
                found[id].append((seq, payload))
        return found

    def _lines(self, id: str, ops: Sequence[tuple[int, str]], upto: int, *, history: bool) -> Iterable[str]:
        folded = _folded(id, ops, upto)
        memory = folded.memory()
        if not history:
            return [plain_line(memory)] if memory is not None and self._filter.passes(memory, self._now) else []
        if not self._takes(memory):
            return []
        whole = Whole(id, memory, purged=folded.purged)
        lines = [whole.take(payload) for seq, payload in ops if seq <= upto or folded.purged]
        return [*(line for line in lines if line is not None), whole.end()]

    async def _heavy(self, id: str, upto: int, *, history: bool) -> AsyncIterator[str]:
        """As `_lines`, for a memory whose ops are not to be held at once: they are read twice."""
        folded = await self._fold(id, upto)
        memory = folded.memory()
        if not history:
            if memory is not None and self._filter.passes(memory, self._now):
                yield plain_line(memory)
            return
        if not self._takes(memory):
            return
        whole = Whole(id, memory, purged=folded.purged)
        async for seq, payload in self._one(id):
            if (seq <= upto or folded.purged) and (line := whole.take(payload)) is not None:
                yield line
        yield whole.end()

    def _takes(self, memory: Memory | None) -> bool:
        """Whether an export with history has it: deleted ones that pass otherwise too, and without a filter all."""
        if self._filter == EVERYTHING:
            return True
        return memory is not None and replace(self._filter, deleted=memory.deleted).passes(memory, self._now)

    async def _fold(self, id: str, upto: int) -> _Folded:
        folded = _Folded(id, upto, {})
        async for seq, payload in self._one(id):
            folded.take(seq, payload)
        return folded

    async def _one(self, id: str) -> AsyncIterator[tuple[int, str]]:
        stamp = ""
        while True:
            async with self._database.tenant(self._user_id) as conn:
                records = await driver(conn).fetch(_PART, self._user_id, id, stamp)
            for record in records:
                yield record["seq"], record["payload"]
            if not records:
                return
            stamp = records[-1]["stamp"]


def _folded(id: str, ops: Sequence[tuple[int, str]], upto: int) -> _Folded:
    folded = _Folded(id, upto, {})
    for seq, payload in ops:
        folded.take(seq, payload)
    return folded
