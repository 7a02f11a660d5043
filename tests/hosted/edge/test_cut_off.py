"""Requests whose sender goes away before they have come whole: nobody reads an answer, and nothing is logged as broken."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from fastapi import FastAPI

from tests.hosted.api.conftest import Client

CUT: list[dict[str, Any]] = [
    {"type": "http.request", "body": b'{"content": "half', "more_body": True},
    {"type": "http.disconnect"},
]


@pytest.mark.parametrize("path", ["/api/v1/memories", "/api/v1/search", "/api/v1/sync/push"])
async def test_a_request_that_is_cut_off_is_no_fault_of_ours(
    app: FastAPI, me: Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    pieces, answered = iter(CUT), list[int]()

    async def receive() -> dict[str, Any]:
        return next(pieces)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    headers = [(b"authorization", f"Bearer {me.user}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
             "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "headers": headers,
             "client": ("127.0.0.1", 1), "server": ("test", 80)}  # fmt: skip
    with caplog.at_level(logging.ERROR):
        await app(scope, receive, send)
    assert answered == [400]
    assert not caplog.records
    assert (await me.ask("GET", "/memories")).json()["memories"] == []
