"""Ids, headers and failures of every request; what a web page of another origin may do."""

from __future__ import annotations

import logging
from collections.abc import Callable

import httpx
import pytest

from hosted.edge.compose import origins_of
from hosted.settings import Settings
from jmem.core.errors import Invalid
from tests.hosted.edge.conftest import Serving

Serve = Callable[..., Serving]


def test_a_well_formed_request_id_is_taken_over(plain: httpx.Client) -> None:
    answer = plain.get("/api/v1/echo", headers={"X-Request-ID": "client-0000.1_a"})
    assert answer.headers["x-request-id"] == answer.json()["id"] == "client-0000.1_a"


@pytest.mark.parametrize(
    "given", ["short", "x" * 65, "with space in it", "line%0d%0abreak", '"quoted-text"', "-leading-dash"]
)
def test_any_other_request_id_is_replaced(plain: httpx.Client, given: str) -> None:
    answer = plain.get("/api/v1/echo", headers={"X-Request-ID": given})
    assert len(answer.headers["x-request-id"]) == 16
    assert answer.json()["id"] == answer.headers["x-request-id"] != given


def test_two_requests_have_two_ids(plain: httpx.Client) -> None:
    assert plain.get("/page").headers["x-request-id"] != plain.get("/page").headers["x-request-id"]


def test_a_problem_names_its_request(plain: httpx.Client) -> None:
    answer = plain.get("/api/v1/nothing", headers={"X-Request-ID": "looking-for-it"})
    assert answer.status_code == 404
    assert (answer.json()["code"], answer.json()["request"]) == ("no_route", "looking-for-it")


def test_a_failure_nobody_foresaw_is_a_problem_with_the_headers_of_every_answer(
    plain: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = plain.get("/api/v1/crash", headers={"X-Request-ID": "it-crashed-here"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "internal"
    assert answer.json()["request"] == answer.headers["x-request-id"] == "it-crashed-here"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret text" not in answer.text
    assert "it-crashed-here" in caplog.text


def test_an_answer_that_breaks_off_is_not_ended_as_if_it_were_whole(plain: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError), plain.stream("GET", "/api/v1/stream?fail=true") as answer:
        assert b"".join(answer.iter_raw()) == b"never"


def test_every_answer_has_the_security_headers(plain: httpx.Client) -> None:
    for path in ("/page", "/api/v1/echo", "/nothing", "/health"):
        headers = plain.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "camera=()" in headers["permissions-policy"]
        assert "strict-transport-security" not in headers  # plain HTTP
    assert plain.get("/api/v1/echo").headers["cache-control"] == "no-store"
    assert "cache-control" not in plain.get("/page").headers


def test_https_is_asked_for_where_it_is_served(serve: Serve) -> None:
    server = serve(public_url="https://jmem.example")
    assert httpx.get(server.url + "/page").headers["strict-transport-security"].startswith("max-age=")


def test_no_origin_may_ask_by_default(plain: httpx.Client) -> None:
    answer = plain.get("/api/v1/echo", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_configured_origins_may_ask_and_no_others(serve: Serve) -> None:
    server = serve(cors_origins="https://app.example, http://localhost:3000")
    url = server.url + "/api/v1/echo"
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH",
             "Access-Control-Request-Headers": "authorization, idempotency-key"}  # fmt: skip
    preflight = httpx.options(url, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in preflight.headers
    assert (
        httpx.get(url, headers={"Origin": "http://localhost:3000"}).headers["access-control-allow-origin"]
        == "http://localhost:3000"
    )
    for other in ("https://app.example.evil.example", "https://APP.example:443", "null", "http://app.example"):
        answer = httpx.get(url, headers={"Origin": other})
        assert "access-control-allow-origin" not in answer.headers, other
        refused = httpx.options(url, headers={**asked, "Origin": other})
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers, other


@pytest.mark.parametrize(
    "wrong", ["*", "https://*.example.com", "example.com", "https://a.example/", "https://", "file://x/"]
)
def test_what_is_no_origin_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid) as refused:
        origins_of(Settings(database_url="", cors_origins=wrong))
    assert refused.value.code == "setting"
