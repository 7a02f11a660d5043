"""What Prometheus gets."""

from __future__ import annotations

import contextlib

from prometheus_client.parser import text_string_to_metric_families

from bench.home import Api, Home
from daemon.metrics import BUCKETS, Histogram


def test_metrics_count_requests_and_memories(daemon: Home, api: Api) -> None:
    memory = api.add("counted once")
    api.search("counted")
    api.call("GET", f"/api/v1/memories/{memory['id']}")
    api.call("GET", "/api/v1/memories/ffffffff")
    answer = api.call("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.raw.decode())
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return samples[(name, *sorted(labels.items()))]

    one = {"route": "/api/v1/memories/{id}", "method": "GET"}
    assert value("jmem_http_request_seconds_count", **one, status="200") == 1
    assert value("jmem_http_request_seconds_count", **one, status="404") == 1
    assert value("jmem_search_seconds_count", mode="hybrid") == 1
    assert value("jmem_embed_seconds_count", what="query") >= 1
    user = api.must("GET", "/status")["user_id"]
    assert value("jmem_memories", user=user, state="active") == 1
    assert value("jmem_index_pending", user=user) >= 0
    assert value("jmem_event_listeners") == 0
    assert value("jmem_process_resident_bytes") > 1e7
    assert memory["id"] not in answer.raw.decode()


def test_a_token_shows_sums_over_the_users_and_the_socket_each_of_them(daemon: Home, api: Api) -> None:
    api.add("the first user's")
    with contextlib.closing(daemon.api(user="other")) as other:
        other.add("another user's")
    with contextlib.closing(daemon.tcp()) as tcp:
        summed = tcp.call("GET", "/metrics").raw.decode()
    each = api.call("GET", "/metrics").raw.decode()
    assert 'user="' in each
    assert "user=" not in summed

    def active(text: str) -> list[float]:
        families = text_string_to_metric_families(text)
        samples = (sample for family in families if family.name == "jmem_memories" for sample in family.samples)
        return [sample.value for sample in samples if sample.labels["state"] == "active"]

    assert len(active(each)) >= 2
    assert active(summed) == [sum(active(each))]


def test_a_histogram_is_cumulative() -> None:
    times = Histogram()
    for seconds in (0.0001, 0.002, 0.002, 99.0):
        times.add(("x",), seconds)
    pairs, total = times.buckets(("x",))
    counts = dict(pairs)
    assert (counts["0.001"], counts["0.0025"], counts[str(BUCKETS[-1])], counts["+Inf"]) == (1, 3, 3, 4)
    assert abs(total - 99.0041) < 1e-9
