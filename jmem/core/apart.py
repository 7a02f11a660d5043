"""Texts of one memory that were written apart, as every backend tells of them and settles them: of ops, without a store.

The greatest stamp is live, the others are kept. A conflict is settled by an edit that names all heads as what it saw, so
that it is over on every replica, whoever settles it; the texts stay in the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jmem.core import edits
from jmem.core.clock import stamp_ms
from jmem.core.errors import Conflict as Clash
from jmem.core.errors import Invalid, NotFound
from jmem.core.merge import Registers, heads_of
from jmem.core.model import Memory, Op, check_content, iso
from jmem.core.secrets import screened

Settle = Literal["keep", "both", "text"]
THIS, ELSEWHERE, IMPORTED = "this machine", "elsewhere", "imported"


@dataclass(frozen=True, slots=True)
class Version:
    """One of the texts: who wrote it, when, and whether it is the one that is found.

    `where` it was written: a machine says THIS, ELSEWHERE or IMPORTED, the account the name of the machine, empty for its own.
    """

    stamp: str
    at: str
    client: str
    content: str
    live: bool
    where: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As it is told."""
        return {"stamp": self.stamp, "at": self.at, "client": self.client, "where": self.where, "content": self.content,
                "live": self.live}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conflict:
    """A memory with its texts, the live one first, then from the newest to the oldest."""

    memory: Memory
    versions: tuple[Version, ...]

    def as_dict(self) -> dict[str, Any]:
        """As it is told."""
        return {"memory": self.memory.as_dict(), "versions": [version.as_dict() for version in self.versions]}

    @property
    def open(self) -> bool:
        """Whether there is anything to settle: the same text written twice is none."""
        return len({version.content for version in self.versions}) > 1

    def placed(self, where: Mapping[str, str]) -> Conflict:
        """With where the texts were written, by their stamps."""
        return replace(self, versions=tuple(replace(v, where=where.get(v.stamp, "")) for v in self.versions))


@dataclass(frozen=True, slots=True)
class Settled:
    """The memory after a conflict was settled; `others` are those that were made of the other texts."""

    memory: Memory
    others: tuple[Memory, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As it is told."""
        return {"memory": self.memory.as_dict(), "others": [other.as_dict() for other in self.others]}


def conflict_of(memory: Memory, ops: Iterable[Op]) -> Conflict:
    """The texts of a memory whose ops these are, in any order."""
    newest_first = reversed(heads_of(ops))
    return Conflict(memory, tuple(
        Version(head.stamp, iso(stamp_ms(head.stamp)), head.client, head.content, n == 0)
        for n, head in enumerate(newest_first)
    ))  # fmt: skip


def must_be_open(found: Conflict) -> Conflict:
    """The same conflict; raises NotFound `no_conflict` where there is nothing to settle."""
    if not found.open:
        id = found.memory.id
        raise NotFound(f"memory {id} has one text only", code="no_conflict", id=id, fix="jmem conflicts")
    return found


def chosen(
    found: Conflict, how: Settle, version: str, content: str | None, expected: Sequence[str] | None, secrets: str
) -> tuple[str, list[Version]]:
    """The text that stays, and the versions that become memories of their own.

    Raises Conflict `changed` when `expected` are not the stamps of the versions any more, NotFound `no_version`, Invalid,
    TooLarge, SecretFound.
    """
    if expected is not None and {v.stamp for v in found.versions} != set(expected):
        raise Clash(f"memory {found.memory.id} was changed since it was read", code="changed", id=found.memory.id,
                    version=found.memory.version, fix="read it again, then repeat the change")  # fmt: skip
    if how == "text":
        if content is None:
            raise Invalid("there is no text", code="empty", field="content")
        return screened({"content": check_content(content)}, secrets)["content"], []
    kept = find_version(found, version) if version else found.versions[0]
    if how == "keep":
        if not version:
            raise Invalid("which text shall stay is not said", code="empty", field="version")
        return kept.content, []
    texts = {kept.content}
    others: list[Version] = []
    for one in found.versions:
        if one.content not in texts:
            texts.add(one.content)
            others.append(one)
    return kept.content, others


def find_version(found: Conflict, named: str) -> Version:
    """The version of a number that counts from 1, or of a unique part of a stamp; raises NotFound `no_version`."""
    fitting = [v for n, v in enumerate(found.versions, 1) if named == str(n) or (len(named) >= 4 and named in v.stamp)]
    if len(fitting) != 1:
        raise NotFound(f"memory {found.memory.id} has no single text {named!r}", code="no_version", id=found.memory.id,
                       fix="jmem conflicts   shows the texts")  # fmt: skip
    return fitting[0]


def fields_of(memory: Memory, version: Version, registers: Registers) -> dict[str, Any]:
    """The fields of a memory of its own made of another text, with all else that the memory has."""
    fields = edits.moved_fields(memory, {"content": version.content}, registers)
    fields.pop("supersedes", None)
    return fields
