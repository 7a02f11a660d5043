"""The HTTP API, one route group a module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from daemon.http import Routes
from daemon.metrics import USER
from jmem.core.actor import Actor

if TYPE_CHECKING:
    from daemon.context import Daemon


def groups() -> list[Routes]:
    """Every group of routes, the busiest first."""
    from daemon.api import (
        account,
        admin,
        backup,
        clients,
        conflicts,
        duplicates,
        events,
        history,
        memories,
        overview,
        portable,
        review,
        search,
        sync,
        timeline,
        verify,
    )

    modules = (
        memories, search, history, timeline, duplicates, conflicts, overview, events, review, clients, portable, backup, account, sync, verify, admin,
    )  # fmt: skip
    return [*(module.routes for module in modules), admin.outside]


def add_gauges(daemon: Daemon) -> None:
    """Values that are read when metrics are scraped."""
    metrics = daemon.metrics
    metrics.gauge("jmem_memories", "Memories of open users, by state", (USER, "state"), lambda: _states(daemon))
    metrics.gauge("jmem_index_pending", "Memories whose vector is not in the index yet", (USER,), lambda: [
        ((memory.id,), float(memory.indexer.pending())) for memory in daemon.users.opened()])  # fmt: skip
    metrics.gauge(
        "jmem_embedder_loaded", "Whether the model is in memory", (), lambda: [((), float(daemon.embedder.loaded))]
    )
    metrics.gauge("jmem_event_listeners", "Open event streams", (), lambda: [((), float(daemon.hub.count()))])


def _states(daemon: Daemon) -> Iterator[tuple[tuple[str, ...], float]]:
    owner = Actor("metrics")
    for memory in daemon.users.opened():
        for state, count in memory.service.stats(owner)["states"].items():
            yield (memory.id, state), float(count)
