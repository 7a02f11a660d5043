"""A request that is refused is an access too: who asked for what, and that it was not permitted.

Neither the query nor an id is kept of it: nothing was answered, so a purge could not find the record again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar, cast

from jmem.core.access import Access, AccessLog
from jmem.core.actor import Actor
from jmem.core.errors import Refused

P = ParamSpec("P")
R = TypeVar("R")


class _Logs(Protocol):
    access: AccessLog


def note(log: AccessLog, actor: Actor, what: str, error: Refused) -> None:
    """Record a refusal: `refused` in the detail of the access is the error's code."""
    log.record(Access(actor.client, what, detail={"refused": error.code}))


@contextmanager
def asked(log: AccessLog, actor: Actor, what: str) -> Iterator[None]:
    """Record what is refused inside, and let it go on."""
    try:
        yield
    except Refused as error:
        note(log, actor, what, error)
        raise


def asks(what: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a method of the service that takes an `Actor`: what is refused to it is recorded as `what`."""

    def wrap(method: Callable[P, R]) -> Callable[P, R]:
        @wraps(method)
        def run(*args: P.args, **named: P.kwargs) -> R:
            try:
                return method(*args, **named)
            except Refused as error:
                actor = next(one for one in (*args, *named.values()) if isinstance(one, Actor))
                note(cast(_Logs, args[0]).access, actor, what, error)
                raise

        return run

    return wrap
