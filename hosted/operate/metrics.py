"""What this replica counts: requests by route, operations, who was let in, queries. Prometheus asks for it.

Labels have few values, whatever anybody sends: a route's template and never its path, a program's name only where many
people use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import asyncpg
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CLIENTS = ("web", "cli", "claude", "claude-code", "cursor", "vscode", "windsurf", "zed", "codex", "gemini", "chatgpt")
"""The programs that are told apart; what else people call theirs is `other`."""
_VERBS = frozenset(("select", "insert", "update", "delete", "with", "begin", "commit", "rollback", "set", "copy"))
Value = tuple[tuple[str, ...], float]
Read = Callable[[], Iterable[Value]]


def program_of(client: str) -> str:
    """One of CLIENTS, or `other`."""
    return client if client in CLIENTS else "other"


class Census(Protocol):
    """What is known of all accounts together; `hosted.operate.census` asks the database for it."""

    async def refresh(self) -> None:
        """Ask again, if what is known is too old."""

    def families(self) -> Iterable[GaugeMetricFamily]:
        """What was told last."""


class Metrics:
    """The counters of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "jmem_http_request_seconds", "Time to an answer's last byte; for streams, to its first",
            ("route", "method", "status"), buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.operations = Histogram(
            "jmem_operation_seconds", "What was done with memories, over every surface",
            ("operation", "outcome"), buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.auth = Counter(
            "jmem_auth_total", "Who asked, or why they were refused", ("outcome",), registry=self.registry
        )
        self.queries = Histogram(
            "jmem_db_query_seconds", "Queries, by their first word", ("verb",), buckets=BUCKETS, registry=self.registry
        )
        self._gauges: list[tuple[bool, str, str, tuple[str, ...], Read]] = []
        self._censuses: list[Census] = []
        self.registry.register(_Gauges(self))

    def authenticated(self, outcome: str) -> None:
        """Somebody was let in (by `session`, `api_key`, `connector`, `oauth`), or refused with a code."""
        self.auth.labels(outcome).inc()

    def gauge(self, name: str, about: str, read: Read, labels: tuple[str, ...] = (), *, counts: bool = False) -> None:
        """Have a value read at every scrape: `read` yields (label values, value) pairs. `counts`: it only grows."""
        self._gauges.append((counts, name, about, labels, read))

    def census(self, census: Census) -> None:
        """Have what is known of all accounts told too."""
        self._censuses.append(census)

    def watch(self, engine: AsyncEngine) -> None:
        """Time every query of a pool, those that go to the driver directly too, and tell how many connections are in use."""

        def connected(connection: Any, record: object) -> None:
            connection.driver_connection.add_query_logger(self._queried)

        event.listen(engine.sync_engine, "connect", connected)
        pool: Any = engine.sync_engine.pool
        self.gauge("jmem_db_connections", "Connections of the pool", lambda: [
            (("in_use",), pool.checkedout()), (("idle",), pool.checkedin()), (("most",), pool.size()),
        ], ("state",))  # fmt: skip

    async def text(self) -> bytes:
        """The exposition text of now."""
        for census in self._censuses:
            await census.refresh()
        return generate_latest(self.registry)

    def _queried(self, query: asyncpg.connection.LoggedQuery) -> None:
        verb = query.query.lstrip()[:10].partition(" ")[0].rstrip(";").lower()
        self.queries.labels(verb if verb in _VERBS else "other").observe(query.elapsed)


class _Gauges(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Any]:
        for counts, name, about, labels, read in self._metrics._gauges:
            family = (CounterMetricFamily if counts else GaugeMetricFamily)(name, about, labels=labels)
            for values, value in read():
                family.add_metric(values, value)
            yield family
        for census in self._metrics._censuses:
            yield from census.families()
