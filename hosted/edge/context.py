"""The request that is being answered, known to whatever runs for it: logs, problems, rate limits, the audit log."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from hosted.edge.rates import Counted, Rates
    from jmem.core.actor import Actor


class Asker(Protocol):
    """Who asks, as far as the edge has to know; identity tells who that is."""

    @property
    def user_id(self) -> UUID:
        """The account."""
        ...

    @property
    def actor(self) -> Actor:
        """What it may do there, and by which name histories know it."""
        ...

    @property
    def via(self) -> str:
        """How it was proven."""
        ...

    @property
    def key_id(self) -> UUID | None:
        """The key, where it is one."""
        ...

    @property
    def client_id(self) -> str | None:
        """The program that was let in, where it is one."""
        ...


@dataclass(slots=True)
class Asking:
    """One request. `state` is the application's; `principal` is known once it was admitted, `counted` has the limits it was counted against."""

    id: str
    address: str
    method: str = ""
    path: str = ""
    kind: str | None = None
    rates: Rates | None = None
    state: Any = None
    principal: Asker | None = None
    counted: list[Counted] = field(default_factory=list)


current: ContextVar[Asking | None] = ContextVar("asking", default=None)


def request_id() -> str | None:
    """The id of the request that is being answered; None outside of any."""
    asking = current.get()
    return None if asking is None else asking.id
