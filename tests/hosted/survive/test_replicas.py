"""The tests of the API once more, with two replicas behind a balancer: no request knows which of them answers the next."""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from hosted.app import make_app
from hosted.db.engine import Database, driver_dsn
from hosted.memories.activity import Activity
from hosted.memories.service import Backend
from hosted.ops.events import Bus
from tests.hosted.api import conftest
from tests.hosted.letin import LetIn

API = Path(conftest.__file__).parent
REPLACED = frozenset(("http", "app"))

for _name, _value in vars(conftest).items():
    if type(_value).__name__ == "FixtureFunctionDefinition" and _name not in REPLACED:
        globals()[_name] = _value
for _path in sorted(API.glob("test_*.py")):
    _module = importlib.import_module(f"tests.hosted.api.{_path.stem}")
    for _name, _value in vars(_module).items():
        # what looks into the app looks into one
        if _name.startswith("test_") and not {"app", "database"} & inspect.signature(_value).parameters.keys():
            globals()[f"{_name}__{_path.stem}"] = _value


class Balancer(httpx.AsyncBaseTransport):
    """Hands each request to the next replica."""

    def __init__(self, apps: list[FastAPI]) -> None:
        self._apps = apps
        self._turn = itertools.cycle(httpx.ASGITransport(app, raise_app_exceptions=False) for app in apps)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for app in self._apps:  # as they do by themselves a moment later
            await app.state.backend.activity.flush()
        return await next(self._turn).handle_async_request(request)


@pytest.fixture
async def http(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Two apps with pools, buses and logs of their own."""
    databases = [Database(database_url, pool_size=3) for _ in range(2)]
    apps = [
        make_app(Backend(database, Bus(driver_dsn(database_url)), activity=Activity(database)), identity=LetIn())
        for database in databases
    ]
    async with httpx.AsyncClient(transport=Balancer(apps), base_url="http://jmem.test") as client:
        yield client
    for database in databases:
        await database.close()


def test_the_tests_of_the_api_are_among_these() -> None:
    assert sum(name.startswith("test_") for name in globals()) > 8
