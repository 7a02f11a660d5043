"""Answers that are given before any route is reached."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hosted.edge.problems import problem
from jmem.core.errors import JmemError


async def refuse(
    error: JmemError, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str] | None = None
) -> None:
    """Answer with the error's problem document, or with a page where a person asks."""
    await for_whom_asks(scope, problem(error, headers))(scope, receive, send)


def for_whom_asks(scope: Scope, answer: Response) -> Response:
    """The problem as a page, where the app has pages and a browser asks (`app.state.page_of`)."""
    page_of = getattr(scope["app"].state, "page_of", None) if "app" in scope else None
    found: Response = answer if page_of is None else page_of(Request(scope), answer)
    return found
