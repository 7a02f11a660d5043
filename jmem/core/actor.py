"""Who asks: a client with its permissions, and the one place where they are enforced."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from jmem.core.errors import Refused
from jmem.core.filter import Filter
from jmem.core.model import Memory


@dataclass(frozen=True, slots=True)
class Actor:
    """A client and what it may do.

    `tags` None sees every memory; otherwise only memories with one of these tags exist for it, and what it adds
    gets the first of them if it has none; () sees nothing. With `review`, what it writes waits in the state `review`
    until the owner accepts it, and it may change nothing else. `writes_per_hour` caps its changes; None: no cap. Only
    an `owner` decides about what waits, and sees what others wrote of it.
    """

    client: str
    read: bool = True
    write: bool = True
    delete: bool = True
    tags: tuple[str, ...] | None = None
    review: bool = False
    writes_per_hour: int | None = None
    owner: bool = True

    @property
    def unrestricted(self) -> bool:
        """Whether it may do and see everything, as the owner's own surfaces do."""
        free = self.owner and not self.review and self.writes_per_hour is None
        return free and self.read and self.write and self.delete and self.tags is None

    def may(self, *permissions: str) -> None:
        """Raise Refused unless the actor has every one of `permissions`.

        They are read, write, delete, every_tag (sees all memories) and everything (all of these).
        """
        for permission in permissions:
            if not self._has(permission):
                raise Refused(f"{self.client} may not {VERBS[permission]}", client=self.client,
                              fix=f"jmem clients set {self.client} {_OPTIONS[permission]}")  # fmt: skip

    def _has(self, permission: str) -> bool:
        match permission:
            case "read":
                return self.read
            case "write":
                return self.write
            case "delete":
                return self.delete
            case "every_tag":
                return self.tags is None
        return self.unrestricted

    def sees(self, tags: Iterable[str]) -> bool:
        """Whether a memory with these tags exists for the actor."""
        return self.tags is None or not set(self.tags).isdisjoint(tags)

    def narrow(self, filter: Filter) -> Filter:
        """The filter, with nothing left in it that the actor may not see."""
        if not self.owner and (not filter.states or "review" in filter.states):
            filter = replace(filter, waiting_of=self.client)
        if self.tags is None:
            return filter
        scope = self.tags if filter.visible is None else tuple(t for t in filter.visible if t in self.tags)
        return replace(filter, visible=scope)

    def may_change(self, memory: Memory) -> None:
        """Raise Refused `under_review` unless what the actor's own review allows: what it wrote and still waits."""
        if self.review and not (memory.state == "review" and memory.client == self.client):
            raise Refused(
                f"{self.client} may delete or change only what it wrote itself and still waits for review, and"
                f" memory {memory.id} is not that; nothing was changed",
                code="under_review", client=self.client, id=memory.id, fix=f"jmem clients set {self.client} --no-review",
            )  # fmt: skip

    def stamp_tags(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """The tags that something the actor adds gets; raises Refused when its scope is empty."""
        if self.sees(tags):
            return tags
        if not self.tags:
            raise Refused(f"{self.client} may not see any memory, so it can't add one", client=self.client,
                          fix=f"jmem clients set {self.client} --all-tags")  # fmt: skip
        return (*tags, self.tags[0])


_OPTIONS = {
    "read": "--read",
    "write": "--write",
    "delete": "--delete",
    "every_tag": "--all-tags",
    "everything": "--read --write --delete --all-tags --no-review --writes-per-hour none",
}
VERBS = {
    "read": "read memories",
    "write": "write memories",
    "delete": "delete memories",
    "every_tag": "look into the past of a memory: it takes access to every tag",
    "everything": "do this: it takes access to every memory",
}
"""What it is to have a permission, after "may not"."""
