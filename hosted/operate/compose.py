"""What the app of a deployment is watched by, put together."""

from __future__ import annotations

from uuid import UUID

import httpx
from fastapi import FastAPI

from hosted.memories.activity import Observe
from hosted.memories.service import Backend
from hosted.operate.census import Counts
from hosted.operate.health import Readiness
from hosted.operate.metrics import Metrics
from hosted.operate.routes import add
from hosted.operate.telemetry import Uses
from hosted.settings import Settings
from jmem.core.actor import Actor


def mount(app: FastAPI, metrics: Metrics | None = None) -> None:
    """Add the routes, and have the metrics read what the app's parts know."""
    backend: Backend = app.state.backend
    settings: Settings = app.state.settings
    made = metrics or Metrics()
    made.watch(backend.database.engine)
    made.census(Counts(backend.database, backend.index))
    made.gauge("jmem_event_streams", "Listeners to changes", lambda: [((), backend.bus.count())])
    made.gauge("jmem_mcp_streams", "Open streams of programs", lambda: [((), app.state.mcp.count())])
    uses = _uses(app, settings)
    if (activity := backend.activity) is not None:
        activity.observe = _observer(made, uses)
        made.gauge("jmem_activity_waiting", "Accesses that are not written yet", lambda: [((), activity.waiting)])
        made.gauge("jmem_activity_lost", "Accesses that were not written", lambda: [((), activity.lost)], counts=True)
    if (index := backend.index) is not None:
        made.gauge("jmem_index_waiting", "Accounts in this replica's queue for the vector index", lambda: [
            ((), sum(drain.waiting for drain in index.drains.values()))])  # fmt: skip
        made.gauge("jmem_index_done", "What this replica did for the vector index", lambda: [
            ((what,), sum(getattr(drain.counts, what) for drain in index.drains.values()))
            for what in ("embedded", "described", "removed", "failures")], ("what",), counts=True)  # fmt: skip
    app.state.metrics = made
    add(app, made, Readiness(backend, settings), settings.metrics_token)


def _uses(app: FastAPI, settings: Settings) -> Uses | None:
    if not settings.posthog_api_key:
        return None
    http = httpx.AsyncClient(timeout=10)
    uses = Uses(http, settings.posthog_host, settings.posthog_api_key)
    app.state.contexts += [lambda: http, uses.running]
    return uses


def _observer(metrics: Metrics, uses: Uses | None) -> Observe:
    def observe(user_id: UUID, actor: Actor, what: str, outcome: str, seconds: float) -> None:
        metrics.operations.labels(what, outcome).observe(seconds)
        if uses is not None and outcome == "ok":
            uses.note(user_id, what, actor.client)

    return observe
