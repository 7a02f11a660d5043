"""Counters that cost a dictionary look-up a request; Prometheus text is made when somebody asks for it.

prometheus_client is imported at the first scrape only, and nothing runs between scrapes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from jmem.core.embed import Embedder

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_INFINITE = "+Inf"
USER = "user"
"""the label that tells users apart"""


class Histogram:
    """Counts of durations by label, in seconds. Updated under the GIL by whoever has something to add."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, ...], list[float]] = {}

    def add(self, labels: tuple[str, ...], seconds: float) -> None:
        """Note one duration."""
        cell = self.cells.get(labels)
        if cell is None:
            cell = self.cells.setdefault(labels, [0.0] * (len(BUCKETS) + 2))
        for n, bound in enumerate(BUCKETS):
            if seconds <= bound:
                cell[n] += 1
                break
        else:
            cell[len(BUCKETS)] += 1
        cell[-1] += seconds

    def buckets(self, labels: tuple[str, ...]) -> tuple[list[tuple[str, float]], float]:
        """Cumulative (upper bound, count) pairs, and the sum of all durations."""
        cell = list(self.cells[labels])
        total, pairs = 0.0, []
        for bound, count in zip([*map(str, BUCKETS), _INFINITE], cell[:-1], strict=True):
            total += count
            pairs.append((bound, total))
        return pairs, cell[-1]


class Metrics:
    """What the daemon counts."""

    def __init__(self) -> None:
        self.requests = Histogram()
        """(route, method, status)"""
        self.searches = Histogram()
        """(mode,)"""
        self.embeds = Histogram()
        """(what,)"""
        self._gauges: list[tuple[str, str, tuple[str, ...], Callable[[], Iterable[tuple[tuple[str, ...], float]]]]] = []
        self._registries: dict[bool, Any] = {}

    def gauge(
        self, name: str, help: str, labels: tuple[str, ...], read: Callable[[], Iterable[tuple[tuple[str, ...], float]]]
    ) -> None:
        """Have a value read at every scrape: `read` yields (label values, value) pairs."""
        self._gauges.append((name, help, labels, read))

    def text(self, *, by_user: bool) -> bytes:
        """The exposition text of now. Without `by_user`, sums over the users stand where each would have its own."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = self._registries.get(by_user)
        if registry is None:
            registry = self._registries[by_user] = CollectorRegistry()
            registry.register(_collector(self, by_user))
        return generate_latest(registry)


class _Timed:
    """An embedder whose work is timed."""

    def __init__(self, embedder: Embedder, times: Histogram) -> None:
        self._embedder = embedder
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Any:
        began = time.perf_counter()
        vectors = self._embedder.embed(texts, query=query)
        self._times.add(("query" if query else "memories",), time.perf_counter() - began)
        return vectors


def timed(embedder: Embedder, times: Histogram) -> Embedder:
    """The same embedder, with the time of every `embed` noted by what it was for."""
    return cast("Embedder", _Timed(embedder, times))


def _collector(metrics: Metrics, by_user: bool) -> Collector:
    from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.registry import Collector

    class Scrape(Collector):
        def collect(self) -> Iterable[Any]:
            for name, help, labels, histogram in (
                ("jmem_http_request_seconds", "HTTP requests", ("route", "method", "status"), metrics.requests),
                ("jmem_search_seconds", "Search, by mode", ("mode",), metrics.searches),
                ("jmem_embed_seconds", "Embedding, by what for", ("what",), metrics.embeds),
            ):
                family = HistogramMetricFamily(name, help, labels=labels)
                for values in list(histogram.cells):
                    pairs, total = histogram.buckets(values)
                    family.add_metric(values, pairs, total)
                yield family
            for name, help, names, read in [*metrics._gauges, *_process_gauges()]:
                shown = [n for n, label in enumerate(names) if by_user or label != USER]
                gauge = GaugeMetricFamily(name, help, labels=[names[n] for n in shown])
                sums: dict[tuple[str, ...], float] = {}
                for values, value in read():
                    key = tuple(values[n] for n in shown)
                    sums[key] = sums.get(key, 0.0) + value
                for key, value in sums.items():
                    gauge.add_metric(key, value)
                yield gauge

    return Scrape()


def _process_gauges() -> list[tuple[str, str, tuple[str, ...], Callable[[], Iterable[tuple[tuple[str, ...], float]]]]]:
    return [
        ("jmem_process_resident_bytes", "Resident memory", (), lambda: [((), float(rss_bytes()))]),
        ("jmem_process_cpu_seconds", "CPU time used", (), lambda: [((), time.process_time())]),
        ("jmem_process_open_files", "Open file descriptors", (), lambda: [((), float(_open_files()))]),
    ]


def rss_bytes() -> int:
    """Resident memory of this process; 0 where it can't be told."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _open_files() -> int:
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return 0
