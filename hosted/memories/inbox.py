"""The inbox: what programs wrote whose writes wait for the owner, accepted or rejected, any number as one action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from hosted.memories.activity import asks
from hosted.memories.base import Account
from hosted.memories.conflicts import APART
from hosted.memories.finding import Params, condition, resolve
from jmem.core.actor import Actor
from jmem.core.decisions import CHANGES, INBOX, Decided, Decision, not_waiting
from jmem.core.errors import Ambiguous, NotFound
from jmem.core.model import now_iso

if TYPE_CHECKING:
    from hosted.db.engine import Driver

AT_ONCE = 500
"""Ops of one statement."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many memories wait for review, and how many have texts that were written apart."""

    review: int
    apart: int


NOTHING = Waiting(0, 0)


class Inbox(Account):
    """The part of `Memories` that is about what waits for review."""

    @asks("count")
    async def waiting(self, actor: Actor) -> Waiting:
        """How much waits for the owner's word."""
        actor.may("everything")
        params = Params(self.user_id)
        sql = (f"SELECT (SELECT count(*) FROM jmem.memories m WHERE {condition(INBOX, now_iso(), params)}),"
               f" (SELECT count(*) FROM jmem.memories m WHERE m.user_id = $1 AND {APART})")  # fmt: skip
        async with self._reading() as raw:
            found = await raw.fetchrow(sql, *params.values)
        assert found is not None
        return Waiting(*found)

    @asks("review")
    async def review(
        self, decision: Decision, actor: Actor, *, parts: Sequence[str] = (), client: str | None = None
    ) -> Decided:
        """Accept or reject what waits for review, as one action: `parts` of ids, or all (of one `client`).

        Raises NotFound `not_waiting` where none of the given waits, Ambiguous (nothing is changed then), Refused.
        """
        actor.may("everything")
        decided = Decided()
        async with self._writing() as writer:
            chosen = await _named(writer.raw, self.user_id, actor, parts, decided) if parts else None
            waiting = await _waiting(writer.raw, self.user_id, client, chosen)
            decided.ids = waiting if chosen is None else [id for id in chosen if id in set(waiting)]
            decided.skipped += [(id, not_waiting(id)) for id in chosen or () if id not in set(waiting)]
            if parts and not decided.ids:
                raise decided.skipped[0][1]
            action = writer.begin(actor.client, decision)
            for start in range(0, len(decided.ids), AT_ONCE):
                some = decided.ids[start : start + AT_ONCE]
                await writer.append([writer.seal(action, id, CHANGES[decision]) for id in some], action)
        self._log_ids(actor, decision, decided.ids)
        return decided


async def _waiting(raw: Driver, user_id: UUID, client: str | None, among: Sequence[str] | None) -> list[str]:
    params = Params(user_id)
    where = condition(replace(INBOX, clients=() if client is None else (client,)), now_iso(), params)
    if among is not None:
        where += f" AND m.id = ANY ({params.add(list(among))}::text[])"
    found = await raw.fetch(
        f"SELECT m.id FROM jmem.memories m WHERE {where} ORDER BY m.created_at, m.id", *params.values
    )
    return [record["id"] for record in found]


async def _named(raw: Driver, user_id: UUID, actor: Actor, parts: Sequence[str], decided: Decided) -> list[str]:
    """Whole ids; what fits none is skipped. Raises Ambiguous."""
    whole: dict[str, None] = {}
    for part in parts:
        try:
            whole[await resolve(raw, user_id, part, actor)] = None
        except Ambiguous:
            raise
        except NotFound as error:
            decided.skipped.append((part, error))
    return list(whole)
