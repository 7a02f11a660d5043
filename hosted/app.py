"""The composition root of the hosted backend, and the factory of its ASGI app."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from qdrant_client import AsyncQdrantClient

import jmem
from hosted import api
from hosted.api import problems
from hosted.db.engine import Database, driver_dsn
from hosted.identity.services import Services
from hosted.memories.search import Searcher
from hosted.memories.service import Backend
from hosted.memories.similar import similar
from hosted.ops.events import Bus
from hosted.settings import Settings
from hosted.vectors.compose import vector_index
from jmem.core.wire.answers import Problem

_ABOUT = "One person's memory for every AI assistant they use: the account that machines and assistants share."


def make_app(backend: Backend, *, identity: Any, services: Services | None = None) -> FastAPI:
    """The app over parts that are made already; `identity` tells who asks, `services` are for the account's own routes."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        backend.bus.start()
        if backend.index is not None:
            backend.bus.on_change(backend.index.hear)
            backend.index.start()
        yield
        await backend.bus.close()
        if backend.index is not None:
            await backend.index.close()
        await backend.database.close()

    app = FastAPI(title="jmem", version=jmem.__version__, description=_ABOUT, lifespan=lifespan, docs_url=None, redoc_url=None,
                  redirect_slashes=False)  # fmt: skip
    app.state.backend = backend
    app.state.identity = identity
    app.state.services = services
    problems.install(app)
    for group in (*api.groups(), *(api.account_groups() if services else ())):
        app.include_router(group.router)
    _document(app)
    return app


def backend_of(settings: Settings, qdrant: AsyncQdrantClient | None = None) -> Backend:
    """Database, bus and vector index of the settings; `qdrant` is asked in the place of the one they name."""
    database = Database(
        settings.database_url, pool_size=settings.database_pool_size, timeout=settings.database_pool_timeout,
        pooler=settings.database_pooler,
    )  # fmt: skip
    heard = settings.events_database_url or ("" if settings.database_pooler else settings.database_url)
    index = vector_index(settings, database, qdrant)
    return Backend(
        database, Bus(driver_dsn(heard) if heard else None), similar, () if index is None else (index.purge,),
        searcher=Searcher(database, index), index=index,
    )  # fmt: skip


def read_settings() -> Settings:
    """The settings of this process's environment."""
    return Settings.read(os.environ)


def _document(app: FastAPI) -> None:
    """Put what every route's problems refer to into the OpenAPI document."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        return document

    app.openapi = openapi  # type: ignore[method-assign]
