"""Failures as RFC 9457 problem documents, in the form and with the codes of the daemon."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import asyncpg
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from hosted.db.errors import of_database
from hosted.edge.context import current, request_id
from jmem.core.errors import Invalid, JmemError, Unreachable
from jmem.core.wire.refusals import HttpProblem, invalid_answer

PROBLEM = "application/problem+json"
log = logging.getLogger(__name__)
_LATER = {"retry-after": "1"}
_AWAY = (
    OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server's last word came between two statements
)  # fmt: skip
_NO_TEXT = ("22021", "22P05")
"""SQLSTATEs of a character that the database has no place for: whoever sent it is told, wherever it stood."""


@runtime_checkable
class Challenge(Protocol):
    """A refusal that also says, in a header, how to ask better."""

    def headers(self, resource_metadata: str | None = None) -> dict[str, str]:
        """The header; `resource_metadata` is where RFC 9728's document is."""
        ...


RIGHTS = "change what it may do under Connections, on the account's page"
"""The remedy here for what a program may not do."""


def problem(error: JmemError, headers: Mapping[str, str] | None = None) -> Response:
    """The problem document of an error, with the id of the request."""
    asking = current.get()
    document = error.problem() if asking is None else {"request": asking.id, **error.problem()}
    if document.get("fix", "").startswith("jmem clients "):  # which changes what a program may do on a machine
        document["fix"] = RIGHTS
    if asking is not None and asking.path.startswith("/openmemory/"):
        document.setdefault("detail", error.message)  # where its clients look
    return Response(to_json(document), error.status, dict(headers or {}), PROBLEM)


def install(app: FastAPI) -> None:
    """Have every failure of the app answered as a problem document."""
    app.add_exception_handler(JmemError, _ours)
    app.add_exception_handler(ValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(PoolTimeout, _busy)
    for kind in (DBAPIError, *_AWAY, asyncpg.PostgresError):
        app.add_exception_handler(kind, _database)
    app.add_exception_handler(Exception, internal)


def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, JmemError)
    if error.status >= 500:
        log.warning("request failed: %s (%s)", error.code, error.message)
    headers: dict[str, str] = {}
    if isinstance(error, Challenge):
        identity: Any = getattr(request.app.state, "identity", None)
        headers = error.headers(getattr(identity, "resource_metadata", None))
    elif "retry_after" in error.detail:
        headers = {"retry-after": str(error.detail["retry_after"])}
    return problem(error, headers)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError)
    return problem(invalid_answer(error))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(HttpProblem(404, "no_route", "there is nothing at this address", fix="see /openapi.json"))
    if error.status_code == 405:
        # an address that is an application of its own, as those of MCP are, tells its methods itself
        allow = ", ".join(methods_of(request)) or (error.headers or {}).get("allow", "")
        return problem(HttpProblem(405, "wrong_method", f"this address takes {allow}"), {"allow": allow})
    return problem(HttpProblem(error.status_code, "http", str(error.detail)), error.headers)


def _gone(request: Request, error: Exception) -> Response:
    """Nobody is there any more to read this: who asked went away before the whole request had come."""
    return problem(HttpProblem(400, "cut_off", "the request did not come whole", fix="send it again"))


def _busy(request: Request, error: Exception) -> Response:
    return problem(_full(), _LATER)


def _database(request: Request, error: Exception) -> Response:
    """What the database could not do: not now, or a mistake of ours."""
    known = error_of(error)
    if known is None:
        return internal(request, error)
    return problem(known, _LATER if isinstance(known, Unreachable) else None)


def error_of(error: Exception) -> JmemError | None:
    """What a failure of the database means to who asked; None: a mistake of ours."""
    if isinstance(error, PoolTimeout):
        return _full()
    if (deleted := of_database(error)) is not None:
        return deleted
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = getattr(cause, "sqlstate", None) or ""
    if state in _NO_TEXT:
        return Invalid("a text in the request holds a character that can't be kept, as NUL is", fix="leave it out")
    away = isinstance(cause, _AWAY)
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if away or lost or state[:2] in ("08", "53", "57", "40"):  # no connection, no resources, stopped, serialization
        log.warning("the database can't answer: %s", type(cause).__name__)
        return Unreachable("the database can't answer now", code="unavailable", fix="ask again in a second")
    return None


def _full() -> Unreachable:
    return Unreachable("every connection to the database is in use", code="busy", fix="ask again in a second")


def internal(request: Request, error: Exception) -> Response:
    """The answer to a failure nobody foresaw: it names the log line and nothing else."""
    number = request_id() or secrets.token_hex(6)
    log.error("request %s failed", number, exc_info=error)
    return problem(JmemError("the server failed while answering this", code="internal", request=number))


def methods_of(request: Request) -> list[str]:
    """The methods that the address takes. An address that a route names in full is no id of another route."""
    path = request.url.path
    # FastAPI keeps an included router as it is, and tells its routes under this name
    tables = [getattr(one, "original_router", None) for one in request.app.routes]
    every = [route for table in tables if table is not None for route in table.routes] + list(request.app.routes)
    routes = [route for route in every if isinstance(route, Route)]
    named = [route for route in routes if route.path == path] or [r for r in routes if r.path_regex.match(path)]
    return sorted({method for route in named for method in route.methods or ()} - {"HEAD"})
