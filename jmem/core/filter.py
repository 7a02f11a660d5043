"""Which memories a list or a search may return, as one SQL condition used inside every leg."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jmem.core.model import PRIVACIES, STATES, Memory


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions on memories, all of which must hold; an empty tuple of tags, clients or states asks nothing.

    `tags`: every one of them. `since` and `until`: `model.iso` texts on when it happened (`occurred_at`, else
    `created_at`), `until` exclusive. `visible`: an actor's tag scope; None sees everything, () nothing. `waiting_of`:
    of what waits for review, only what this client wrote; None sees everyone's. `expired` lets expired ones in, `lapsed`
    nothing else. `before`: only what no op has changed since this stamp.
    """

    tags: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    states: tuple[str, ...] = ("active",)
    since: str | None = None
    until: str | None = None
    privacy: str | None = None
    thread: str | None = None
    source: str | None = None
    visible: tuple[str, ...] | None = None
    waiting_of: str | None = None
    deleted: bool = False
    expired: bool = False
    lapsed: bool = False
    before: str | None = None

    def sql(self, now: str) -> tuple[str, list[Any]]:
        """A condition over the table alias `m` and its parameters; `now` in the form of `model.iso`."""
        parts = ["m.deleted = 1" if self.deleted else "m.deleted = 0"]
        params: list[Any] = []

        def add(condition: str, *values: Any) -> None:
            parts.append(condition)
            params.extend(values)

        if self.states and set(self.states) != set(STATES):
            add(_among("m.state", self.states), *self.states)
        if self.lapsed:
            add("m.expires_at <= ?", now)
        elif not self.expired:
            add("(m.expires_at IS NULL OR m.expires_at > ?)", now)
        if self.clients:
            add(_among("m.client", self.clients), *self.clients)
        if self.since is not None:
            add("m.at >= ?", self.since)
        if self.until is not None:
            add("m.at < ?", self.until)
        if self.privacy is not None:
            # a literal, so that the partial index on local memories can be used
            add(f"m.privacy = '{self.privacy}'" if self.privacy in PRIVACIES else "0")
        if self.thread is not None:
            add("m.thread = ?", self.thread)
        if self.source is not None:
            add("m.source = ?", self.source)
        if self.before is not None:
            add("m.version < ?", self.before)
        for tag in self.tags:
            add("EXISTS (SELECT 1 FROM memory_tags t WHERE t.rowid = m.rowid AND t.tag = ?)", tag)
        if self.visible is not None or self.waiting_of is not None:
            scope, values = self.scope()
            add(scope, *values)
        return " AND ".join(parts), params

    def passes(self, memory: Memory, now: str) -> bool:
        """Whether a memory passes, as `sql` decides it."""
        at = memory.occurred_at or memory.created_at
        lapsed = memory.expires_at is not None and memory.expires_at <= now
        return (
            memory.deleted == self.deleted
            and (not self.states or memory.state in self.states)
            and (lapsed if self.lapsed else self.expired or not lapsed)
            and (not self.clients or memory.client in self.clients)
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and (self.privacy is None or memory.privacy == self.privacy)
            and (self.thread is None or memory.thread == self.thread)
            and (self.source is None or memory.source == self.source)
            and (self.before is None or memory.version < self.before)
            and set(self.tags) <= set(memory.tags)
            and (self.visible is None or not set(self.visible).isdisjoint(memory.tags))
            and (self.waiting_of is None or memory.state != "review" or memory.client == self.waiting_of)
        )

    def scope(self) -> tuple[str, list[str]]:
        """The part of the condition that is about `visible` and `waiting_of`: what may be known of at all."""
        if self.visible == ():
            return "0", []
        parts: list[str] = []
        params: list[str] = []
        if self.visible is not None:
            among = _among("t.tag", self.visible)
            parts.append(f"EXISTS (SELECT 1 FROM memory_tags t WHERE t.rowid = m.rowid AND {among})")
            params += self.visible
        if self.waiting_of is not None:
            parts.append("(m.state <> 'review' OR m.client = ?)")
            params.append(self.waiting_of)
        return " AND ".join(parts) or "1", params


EVERYTHING = Filter(states=(), expired=True)
"""Every state, the expired ones too; in an export with history also the deleted ones, and what is left of purged ones."""


def _among(column: str, values: Sequence[str]) -> str:
    return f"{column} = ?" if len(values) == 1 else f"{column} IN ({','.join('?' * len(values))})"
