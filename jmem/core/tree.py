"""A hash tree over what a device and its account know, so that both find out by a few hundred bytes where they differ.

The leaf of a memory is two sums: of the hashes of its ops (stamp and digest), and of the hash of its row (its registers).
A node is the sum of what lies below it, modulo 2^128, so that no order is needed to build it and memory does not grow with
the store. Memories are put into 65,536 buckets by the first two bytes of the SHA-256 of their id: 256 nodes below the
root, 256 buckets below each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from jmem.core import merge
from jmem.core.merge import Registers
from jmem.core.model import FIELDS, Memory, canonical, plain_json

NODE, BUCKET = 2, 4
"""Hex digits that name a node below the root, and a bucket."""
_BITS = (1 << 128) - 1


def place(id: str) -> str:
    """The bucket of a memory, four hex digits; its node is the first two of them."""
    return hashlib.sha256(id.encode()).hexdigest()[:BUCKET]


def op_hash(id: str, stamp: str, digest: str) -> int:
    """What an op adds to the sum of its memory's log."""
    return _hash(f"op\0{id}\0{stamp}\0{digest}")


def row_hash(memory: Memory, stamps: Mapping[str, str], extra: Mapping[str, Any]) -> int:
    """What the row of a memory adds: all of its columns, which op set each field, and the fields that are unknown here."""
    metadata = canonical(memory.metadata) if memory.metadata else ""
    plain = [
        memory.id, memory.content, memory.tags, memory.state, memory.deleted, memory.occurred_at, memory.expires_at,
        memory.privacy, memory.source, memory.thread, memory.speaker, memory.client, memory.supersedes,
        memory.created_at, memory.updated_at, memory.version, sorted(stamps.items()),
    ]  # fmt: skip
    return _hash(f"row\0{plain_json(plain)}\0{metadata}\0{canonical(extra) if extra else ''}")


def folded_hash(id: str, registers: Registers) -> int:
    """The hash of the row that registers describe; 0 without content, since that is no memory."""
    memory = merge.memory(id, registers)
    if memory is None:
        return 0
    stamps = {name: stamp for name, (stamp, _) in registers.items()}
    extra = {name: value for name, (_, value) in registers.items() if name not in FIELDS}
    return row_hash(memory, stamps, extra)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16])


class Sums:
    """The nodes of one level by their first `digits`; what adds up to nothing is left out."""

    def __init__(self, digits: int) -> None:
        self._digits = digits
        self._sums: dict[str, int] = {}

    def add(self, where: str, hash: int) -> None:
        """Count a hash of a memory in the bucket `where`."""
        key = where[: self._digits]
        self._sums[key] = (self._sums.get(key, 0) + hash) & _BITS

    def above(self, digits: int) -> Sums:
        """The level of shorter names above it."""
        upper = Sums(digits)
        for key, value in self._sums.items():
            upper.add(key, value)
        return upper

    def below(self, prefixes: Collection[str]) -> dict[str, str]:
        """The nodes of this level under others, by name: 32 hex digits each."""
        return {key: hex for key, hex in self.nodes().items() if key[:NODE] in prefixes}

    def nodes(self) -> dict[str, str]:
        """Every node by name: 32 hex digits each."""
        return {key: f"{value:032x}" for key, value in self._sums.items() if value}


@dataclass(slots=True)
class Leaf:
    """One memory: how many ops, the sum of their hashes, the hash of its row."""

    ops: int = 0
    log: int = 0
    row: int = 0

    def add(self, log: int = 0, row: int = 0) -> None:
        """Count an op, or the row."""
        if log:
            self.ops += 1
        self.log = (self.log + log) & _BITS
        self.row = (self.row + row) & _BITS

    def as_dict(self, id: str) -> dict[str, Any]:
        """As it travels."""
        return {"id": id, "ops": self.ops, "log": f"{self.log:032x}", "row": f"{self.row:032x}"}

    @staticmethod
    def of(said: Mapping[str, Any]) -> Leaf:
        """As it came; raises KeyError, ValueError, TypeError."""
        return Leaf(int(said["ops"]), int(said["log"], 16), int(said["row"], 16))


def differing(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """The names of the nodes that are not the same on both sides."""
    return sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))
