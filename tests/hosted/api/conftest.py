"""The app over a real database, with somebody let in by a header in the place of a token."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from hosted.app import make_app
from hosted.db.engine import Database
from hosted.memories.activity import Activity
from hosted.memories.service import Backend
from hosted.ops.events import Bus
from tests.hosted.letin import LetIn, bearer


@dataclass
class Client:
    """Asks as one user."""

    http: httpx.AsyncClient
    user: uuid.UUID

    async def ask(self, method: str, path: str, body: Any = None, **named: Any) -> httpx.Response:
        headers = {**bearer(self.user), **named.pop("headers", {})}
        return await self.http.request(method, f"/api/v1{path}", json=body, headers=headers, **named)

    async def add(self, content: str, **fields: Any) -> dict[str, Any]:
        answer = await self.ask("POST", "/memories", {"content": content, **fields})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def app(database: Database) -> FastAPI:
    """The app, whose callers are let in by the id of their account."""
    return make_app(Backend(database, Bus(), activity=Activity(database)), identity=LetIn())


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://jmem.test") as client:
        yield client


@pytest.fixture
def me(http: httpx.AsyncClient) -> Client:
    return Client(http, uuid.uuid4())


@pytest.fixture
def other(http: httpx.AsyncClient) -> Client:
    return Client(http, uuid.uuid4())
