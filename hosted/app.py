"""The composition root of the hosted backend, and the factory of its ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from qdrant_client import AsyncQdrantClient

import jmem
from hosted import api, edge, mcp, openmemory, operate, web
from hosted.background import background
from hosted.db.engine import Database, driver_dsn
from hosted.edge import problems
from hosted.identity import compose
from hosted.identity.devices import Register
from hosted.identity.services import Services
from hosted.memories.activity import Activity, Kept
from hosted.memories.inferring import inference_of
from hosted.memories.search import Searcher
from hosted.memories.service import Backend
from hosted.memories.similar import similar
from hosted.operate.environment import read_settings
from hosted.operate.metrics import Metrics
from hosted.ops.events import Bus
from hosted.settings import Settings
from hosted.vectors.compose import vector_index
from hosted.vectors.forget import NoIndex, TenantIndex
from jmem.core.wire.answers import Problem

__all__ = ["app_of", "backend_of", "make_app", "read_settings"]
_ABOUT = "One person's memory for every AI assistant they use: the account that machines and assistants share."
HTTP_TIMEOUT = 10.0
"""Seconds that Supabase may take to answer."""


Context = Callable[[], AbstractAsyncContextManager[object]]


def make_app(
    backend: Backend, *, identity: Any, services: Services | None = None, settings: Settings | None = None,
    metrics: Metrics | None = None,
) -> FastAPI:  # fmt: skip
    """The app over parts that are made already; `identity` tells who asks, `services` are for the account's own routes.

    `app.state.contexts` is a list of what is entered before the first request and left after the last one.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(backend.database.close)
            if backend.index is not None:
                backend.index.join(backend.bus)
            backend.bus.start()
            stack.push_async_callback(backend.bus.close)
            if backend.index is not None:
                backend.index.start()
                stack.push_async_callback(backend.index.close)
            if backend.inference is not None:
                stack.callback(backend.inference.close)
            if backend.activity is not None:
                await stack.enter_async_context(backend.activity.running())
            for context in app.state.contexts:
                await stack.enter_async_context(context())
            yield

    app = FastAPI(title="jmem", version=jmem.__version__, description=_ABOUT, lifespan=lifespan, docs_url=None, redoc_url=None,
                  redirect_slashes=False)  # fmt: skip
    app.state.backend = backend
    app.state.identity = identity
    app.state.services = services
    app.state.settings = settings or Settings(database_url="")
    app.state.devices = Register(backend.database)
    app.state.contexts = list[Context]([app.state.devices.running])
    problems.install(app)
    for group in (*api.groups(), *openmemory.groups(), *(api.account_groups() if services else ())):
        app.include_router(group.router)
    _document(app)
    mcp.mount(app)
    web.mount(app)
    operate.mount(app, metrics)
    edge.install(app, settings)
    operate.watch_requests(app)
    return app


def app_of(settings: Settings, qdrant: AsyncQdrantClient | None = None) -> FastAPI:
    """The whole app of a deployment; `qdrant` as in `backend_of`. Raises Invalid `setting`."""
    backend = backend_of(settings, qdrant)
    http = httpx.AsyncClient(timeout=HTTP_TIMEOUT)
    public_url = settings.public_url.rstrip("/") or f"http://127.0.0.1:{settings.port}"
    index = backend.index
    vectors = NoIndex() if index is None else TenantIndex(index.vectors, index.collections, index.forget)
    metrics = Metrics()
    known = compose.identity(
        settings, backend.database, http, resource_metadata=f"{public_url}/.well-known/oauth-protected-resource",
        observe=metrics.authenticated,
    )  # fmt: skip
    services = compose.services(settings, backend.database, vectors, http, public_url)
    app = make_app(backend, identity=known, services=services, settings=settings, metrics=metrics)
    app.state.contexts += [lambda: http, lambda: background(services.accounts.work())]
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
        activity=Activity(database, Kept(settings.activity_kept, settings.activity_days)), inference=inference_of(settings),
        searcher=Searcher(database, index), index=index,
    )  # fmt: skip


def _document(app: FastAPI) -> None:
    """Put what every route's problems refer to into the OpenAPI document."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        return document

    app.openapi = openapi  # type: ignore[method-assign]
