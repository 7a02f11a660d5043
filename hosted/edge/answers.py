"""Answers that are given before any route is reached."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from hosted.api.problems import problem
from jmem.core.errors import JmemError


async def refuse(
    error: JmemError, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, str] | None = None
) -> None:
    """Answer with the error's problem document."""
    await problem(error, headers)(scope, receive, send)
