"""The inbox: what programs wrote whose writes wait for the owner, accepted or rejected, any number as one action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jmem.core import ids
from jmem.core.actor import Actor
from jmem.core.decisions import CHANGES, INBOX, Decided, Decision, not_waiting
from jmem.core.errors import Ambiguous, NotFound
from jmem.core.filter import Filter
from jmem.core.model import now_iso
from jmem.core.store import Store, Tx, oplog

COMMIT_EVERY = 250
"""Memories in one commit: other writers get their turn between two of them."""


def decide(store: Store, decision: Decision, actor: Actor, parts: Sequence[str], client: str | None) -> Decided:
    """Decide about the memories with these parts of ids or, without any, about all that waits (of one `client`)."""
    decided = Decided()
    chosen = _named(store, actor, parts, decided) if parts else _waiting(store, client)
    action: int | None = None
    for start in range(0, len(chosen), COMMIT_EVERY):
        run = _Step(decision, actor, chosen[start : start + COMMIT_EVERY], action)
        action, step = store.write(run)
        decided.ids += step.ids
        decided.skipped += step.skipped
    if parts and not decided.ids:
        raise decided.skipped[0][1]
    return decided


def _waiting(store: Store, client: str | None) -> list[str]:
    where, params = Filter(states=INBOX.states, clients=() if client is None else (client,)).sql(now_iso())
    with store.reader() as conn:
        found = conn.execute(f"SELECT m.id FROM memories m WHERE {where} ORDER BY m.created_at, m.id", params)
        return [id for (id,) in found]


def _named(store: Store, actor: Actor, parts: Sequence[str], decided: Decided) -> list[str]:
    """Whole ids; what fits none is skipped. Raises Ambiguous."""
    whole: dict[str, None] = {}
    with store.reader() as conn:
        for part in parts:
            try:
                whole[ids.resolve(conn, part, actor)] = None
            except Ambiguous:
                raise
            except NotFound as error:
                decided.skipped.append((part, error))
    return list(whole)


@dataclass(frozen=True, slots=True)
class _Step:
    """One commit of a decision; `joined` is the action of the commits before it."""

    decision: Decision
    actor: Actor
    chosen: Sequence[str]
    joined: int | None

    def __call__(self, tx: Tx) -> tuple[int | None, Decided]:
        """The action for the next commit to join, if anything was written for it, and what was decided."""
        joins = self.joined is not None and _stands(tx, self.joined)
        action = self.joined if joins else oplog.begin_action(tx, self.actor.client, self.decision)
        assert action is not None
        decided, before = Decided(), tx.last_seq
        marks = ",".join("?" * len(self.chosen))
        where, params = INBOX.sql(now_iso())
        sql = f"SELECT m.id FROM memories m WHERE m.id IN ({marks}) AND {where}"
        waiting = {id for (id,) in tx.conn.execute(sql, [*self.chosen, *params])}
        for id in self.chosen:
            if id in waiting:
                oplog.write(tx, action, id, CHANGES[self.decision], self.actor.client)
                decided.ids.append(id)
            else:
                decided.skipped.append((id, not_waiting(id)))
        return (action if joins or tx.last_seq > before else None), decided


def _stands(tx: Tx, action: int) -> bool:
    """Whether an action was not undone, so that a later commit may go on with it."""
    found = tx.conn.execute("SELECT 1 FROM actions WHERE id = ? AND undone_by IS NULL", (action,)).fetchone()
    return found is not None
