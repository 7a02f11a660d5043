"""A request that is refused is an access too: who asked for what, and that it was not permitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar, cast

from jmem.core.access import AccessLog
from jmem.core.accesses import refusal
from jmem.core.actor import Actor
from jmem.core.errors import Refused

P = ParamSpec("P")
R = TypeVar("R")


class _Logs(Protocol):
    access: AccessLog


def note(log: AccessLog, actor: Actor, what: str, error: Refused) -> None:
    """Record a refusal."""
    log.record(refusal(actor, what, error))


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
