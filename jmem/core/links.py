"""Which memory took the place of which, worked out from the memories that are linked."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from jmem.core.filter import Filter
from jmem.core.model import MAX_LIMIT, Memory


@dataclass(frozen=True, slots=True)
class Chain:
    """Everything linked to a memory, oldest first, deleted members included; at most 1,000.

    `current` is the id of the member that holds now: the newest live one that follows the memory asked for (itself,
    when nothing live does; the one before it, when it is deleted). What waits for review counts like what is deleted.
    None when nothing is left.
    """

    members: list[Memory]
    current: str | None
    cut: bool = False


def older_ids(memories: Sequence[Memory], scope: Filter) -> list[str]:
    """What the memories supersede, where it may be out of the scope: of what may not be seen no id is told, either."""
    if scope.visible is None and scope.waiting_of is None:
        return []
    return list({memory.supersedes: None for memory in memories if memory.supersedes is not None})


def unlinked(memories: Sequence[Memory], hidden: Collection[str | None]) -> list[Memory]:
    """The memories, as if they superseded nothing where that is hidden."""
    return [replace(memory, supersedes=None) if memory.supersedes in hidden else memory for memory in memories]


def chain_of(found: Mapping[str, Memory], id: str) -> Chain:
    """The chain of a memory from all that is linked to it."""
    members = _ordered(dict(list(found.items())[:MAX_LIMIT]))
    return Chain(members, _current(members, id), len(found) > MAX_LIMIT)


def _ordered(found: Mapping[str, Memory]) -> list[Memory]:
    """Each memory after the one it supersedes, else by age; a circle is cut at its oldest member."""
    newer: dict[str, list[str]] = {}
    waits = {}
    for memory in found.values():
        waits[memory.id] = memory.supersedes in found and memory.supersedes != memory.id
        if waits[memory.id]:
            newer.setdefault(str(memory.supersedes), []).append(memory.id)
    by_age = sorted(found, key=lambda id: (found[id].created_at, id))
    ready = [(found[id].created_at, id) for id in by_age if not waits[id]]
    heapq.heapify(ready)
    ordered: dict[str, Memory] = {}
    rest = iter(by_age)
    while len(ordered) < len(found):
        id = heapq.heappop(ready)[1] if ready else next(i for i in rest if i not in ordered)
        if id in ordered:
            continue
        ordered[id] = found[id]
        for follower in newer.get(id, ()):
            heapq.heappush(ready, (found[follower].created_at, follower))
    return list(ordered.values())


def _current(members: Sequence[Memory], id: str) -> str | None:
    """The last live member among those that follow `id`; else, going back from it, the first live one."""
    by_id = {memory.id: memory for memory in members}
    newer: dict[str | None, list[str]] = {}
    for memory in members:
        newer.setdefault(memory.supersedes, []).append(memory.id)
    following: set[str] = set()
    waiting = [id]
    while waiting:
        if (one := waiting.pop()) not in following:
            following.add(one)
            waiting += newer.get(one, ())
    live = [memory.id for memory in members if memory.id in following and _holds(memory)]
    last = live[-1] if live else None
    seen: set[str] = set()
    while last is None and id in by_id and id not in seen:
        seen.add(id)
        last = id if _holds(by_id[id]) else None
        id = by_id[id].supersedes or ""
    return last


def _holds(memory: Memory) -> bool:
    """Whether a memory can be what holds now: what waits for review takes no other's place."""
    return not memory.deleted and memory.state != "review"
