"""What one address and one user may ask in a minute."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import httpx
import pytest

from hosted.edge.address import address_of, bucket_of
from hosted.edge.rates import kind_of
from tests.hosted.edge.conftest import Serving

Serve = Callable[..., Serving]
SOMEWHERE = "203.0.113.7"


def ask(server: Serving, path: str, *, user: uuid.UUID | None = None, address: str | None = None) -> httpx.Response:
    headers = {**({"x-user": str(user)} if user else {}), **({"x-forwarded-for": address} if address else {})}
    return httpx.request("POST" if user or path == "/sign-in" else "GET", server.url + path, headers=headers)


@pytest.mark.parametrize(
    ("path", "setting"),
    [("/api/v1/known", "rate_write"), ("/api/v1/search", "rate_search"), ("/api/v1/sync/push", "rate_sync")],
)
def test_a_user_who_asks_too_much_is_told_when_to_come_back(serve: Serve, path: str, setting: str) -> None:
    server = serve(**{setting: 3})
    me, other = uuid.uuid4(), uuid.uuid4()
    answers = [ask(server, path, user=me) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    left = [int(re.search(r"r=(\d+)", answer.headers["ratelimit"])[1]) for answer in answers]  # type: ignore[index]
    assert left == [2, 1, 0, 0]
    assert "q=3;w=60" in answers[0].headers["ratelimit-policy"]
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert int(refused.headers["retry-after"]) == refused.json()["retry_after"]
    assert ask(server, path, user=other).status_code == 200, "another user is not counted with"


def test_kinds_are_counted_apart(serve: Serve) -> None:
    server = serve(rate_write=1, rate_search=1)
    me = uuid.uuid4()
    assert [ask(server, path, user=me).status_code for path in ("/api/v1/known", "/api/v1/search")] == [200, 200]
    assert [ask(server, path, user=me).status_code for path in ("/api/v1/known", "/api/v1/search")] == [429, 429]


def test_an_address_has_a_limit_of_its_own(serve: Serve) -> None:
    server = serve(rate_address=2, trusted_proxies=1)
    assert [ask(server, "/page", address=SOMEWHERE).status_code for _ in range(3)] == [200, 200, 429]
    assert ask(server, "/page", address="203.0.113.8").status_code == 200
    assert ask(server, "/health", address=SOMEWHERE).status_code == 200, "whoever watches over it is never turned away"


def test_attempts_to_sign_in_are_counted_more_strictly(serve: Serve) -> None:
    server = serve(rate_sign_in=2, trusted_proxies=1)
    assert [ask(server, "/sign-in", address=SOMEWHERE).status_code for _ in range(3)] == [200, 200, 429]
    assert ask(server, "/page", address=SOMEWHERE).status_code == 200


def test_without_trusted_proxies_nobody_chooses_their_address(serve: Serve) -> None:
    server = serve(rate_address=1)
    assert {ask(server, "/page", address=SOMEWHERE).status_code for _ in range(3)} == {200}  # this machine itself


def test_no_limit_where_it_is_zero(serve: Serve) -> None:
    server = serve(rate_write=0)
    me = uuid.uuid4()
    answers = [ask(server, "/api/v1/known", user=me) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers


@pytest.mark.parametrize(
    ("proxies", "header", "expected"),
    [
        (0, "198.51.100.1", "192.0.2.1"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "10.9.9.9, 198.51.100.1", "198.51.100.1"),
        (2, "10.9.9.9, 198.51.100.1, 10.0.0.1", "198.51.100.1"),
        (2, "198.51.100.1", "192.0.2.1"),
        (1, "nonsense", "192.0.2.1"),
        (1, "198.51.100.1:4711", "198.51.100.1"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "::ffff:198.51.100.1", "198.51.100.1"),
    ],
)
def test_the_address_is_what_the_outermost_trusted_proxy_saw(proxies: int, header: str, expected: str) -> None:
    scope = {"type": "http", "client": ("192.0.2.1", 1), "headers": [(b"x-forwarded-for", header.encode())]}
    assert address_of(scope, proxies) == expected


def test_headers_given_several_times_are_one_list() -> None:
    headers = [(b"x-forwarded-for", b"10.9.9.9"), (b"x-forwarded-for", b"198.51.100.1")]
    assert address_of({"type": "http", "client": None, "headers": headers}, 1) == "198.51.100.1"
    assert address_of({"type": "http", "client": None, "headers": []}, 1) == "unknown"


def test_an_ipv6_network_counts_as_one() -> None:
    assert bucket_of("2001:db8:1:2:aaaa::1") == bucket_of("2001:db8:1:2:bbbb::2") != bucket_of("2001:db8:1:3::1")
    assert bucket_of("198.51.100.1") == "198.51.100.1"


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/api/v1/sync/pull", "sync"), ("POST", "/api/v1/sync/push", "sync"), ("POST", "/api/v1/search", "search"),
        ("POST", "/mcp/claude/http/key", "search"), ("POST", "/mcp", "search"), ("GET", "/api/v1/memories", "read"),
        ("POST", "/api/v1/memories", "write"), ("DELETE", "/api/v1/memories/x", "write"), ("POST", "/sign-in", "sign_in"),
        ("POST", "/settings/password", "write"), ("GET", "/sign-in", "read"), ("POST", "/api/v1/account/sign-out", "write"),
        ("POST", "/memories/new", "write"), ("POST", "/memories/find", "search"), ("POST", "/openmemory/api/v1/memories/filter", "search"),
    ],
)  # fmt: skip
def test_what_a_request_counts_as(method: str, path: str, kind: str) -> None:
    assert kind_of(method, path) == kind
