"""The HTTP API, one route group a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.http import Routes

if TYPE_CHECKING:
    from daemon.context import Daemon


def groups() -> list[Routes]:
    """Every group of routes, the busiest first."""
    from daemon.api import admin

    return [admin.routes, admin.outside]


def add_gauges(daemon: Daemon) -> None:
    """Values that are read when metrics are scraped."""
    metrics = daemon.metrics
    metrics.gauge("jmem_event_listeners", "Open event streams", (), lambda: [((), float(daemon.hub.count()))])
