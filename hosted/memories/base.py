"""What everything that is done with one account's memories stands on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.db.engine import Driver, driver
from hosted.ops.writer import Writer, writing
from jmem.core.accesses import Access, access_of, refusal
from jmem.core.actor import Actor
from jmem.core.errors import Invalid, Refused, TooLarge
from jmem.core.model import MAX_BATCH, Memory

if TYPE_CHECKING:
    from hosted.memories.service import Backend


class Account:
    """The tenant of one account: its transactions, and the record of what is asked of it."""

    def __init__(self, backend: Backend, user_id: UUID) -> None:
        self._backend = backend
        self.user_id = user_id

    def record(self, access: Access) -> None:
        """Note who asked for what; never blocks and never fails."""
        if self._backend.activity is not None:
            self._backend.activity.record(self.user_id, access)

    def refused(self, actor: Actor, what: str, error: Refused) -> None:
        """Note that something was not permitted."""
        self.record(refusal(actor, what, error))

    def observed(self, actor: Actor, what: str, outcome: str, seconds: float) -> None:
        """Note how long something took, and how it ended."""
        if (activity := self._backend.activity) is not None and activity.observe is not None:
            activity.observe(self.user_id, actor, what, outcome, seconds)

    def _log(self, actor: Actor, what: str, memories: Sequence[Memory]) -> None:
        held = what == "add" and any(memory.state == "review" for memory in memories)
        self._log_ids(actor, what, [memory.id for memory in memories], {"review": True} if held else {})

    def _log_ids(self, actor: Actor, what: str, ids: Sequence[str], more: Mapping[str, Any] | None = None) -> None:
        self.record(access_of(actor, what, ids, more))

    def _log_refused(self, actor: Actor, refused: Sequence[tuple[str, Refused]]) -> None:
        """Of several that were refused for one reason, one record."""
        for what, error in {(what, error.code): (what, error) for what, error in refused}.values():
            self.refused(actor, what, error)

    def _writing(self) -> AbstractAsyncContextManager[Writer]:
        return writing(self._backend.database, self._backend.bus, self.user_id)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Driver]:
        async with self._backend.database.tenant(self.user_id) as conn:
            yield driver(conn)


def check_batch(items: Sequence[Any]) -> None:
    """Raise Invalid for nothing, TooLarge for more than 1,000 items."""
    if not items:
        raise Invalid("nothing was given", code="empty")
    if len(items) > MAX_BATCH:
        raise TooLarge(f"{len(items):,} items; a batch holds at most {MAX_BATCH:,}", limit=MAX_BATCH)
