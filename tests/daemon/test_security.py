"""Who is let in: each refused request stands beside the same one with the right values, which passes."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from bench.home import Api, Home
from daemon.dispatch import MAX_BODY_BYTES
from tests.daemon.harness import exchange, request


@dataclass(frozen=True)
class Case:
    """A request with one wrong value, how it is answered, and what makes it right."""

    name: str
    wrong: dict[str, str | None]
    status: int
    code: str
    right: dict[str, str | None] = field(default_factory=dict)
    path: str = "/api/v1/stats"


CASES = [
    Case("another host by name", {"Host": "evil.example:{port}"}, 421, "wrong_host"),
    Case("a rebound name", {"Host": "127.0.0.1.evil.example:{port}"}, 421, "wrong_host"),
    Case("another port", {"Host": "127.0.0.1:1"}, 421, "wrong_host"),
    Case("no port", {"Host": "127.0.0.1"}, 421, "wrong_host"),
    Case("no host", {"Host": None}, 421, "wrong_host"),
    Case("localhost", {"Host": "localhost.:{port}"}, 421, "wrong_host", {"Host": "localhost:{port}"}),
    Case("IPv6", {"Host": "[::2]:{port}"}, 421, "wrong_host", {"Host": "[::1]:{port}"}),
    Case("host in capitals", {"Host": "EVIL:{port}"}, 421, "wrong_host", {"Host": "LOCALHOST:{port}"}),
    Case("a page of another site", {"Origin": "https://evil.example"}, 403, "wrong_origin", {"Origin": "http://127.0.0.1:{port}"}),
    Case("a page of another local app", {"Origin": "http://localhost:3000"}, 403, "wrong_origin", {"Origin": "http://localhost:{port}"}),
    Case("the null origin", {"Origin": "null"}, 403, "wrong_origin"),
    Case("an origin by https", {"Origin": "https://127.0.0.1:{port}"}, 403, "wrong_origin"),
    Case("no token", {"Authorization": None}, 401, "unauthorized"),
    Case("another token", {"Authorization": "Bearer jmem_" + "0" * 64}, 401, "unauthorized"),
    Case("an empty token", {"Authorization": "Bearer "}, 401, "unauthorized"),
    Case("half a token", {"Authorization": "Bearer {half}"}, 401, "unauthorized"),
    Case("another scheme", {"Authorization": "Basic {token}"}, 401, "unauthorized", {"Authorization": "bearer {token}"}),
    Case("metrics without a token", {"Authorization": None}, 401, "unauthorized", path="/metrics"),
    Case("openapi without a token", {"Authorization": None}, 401, "unauthorized", path="/openapi.json"),
    Case("another user's name", {"X-Jmem-User": "bob"}, 403, "refused", {"X-Jmem-User": "default"}),
    Case("health for another host", {"Host": "evil.example"}, 421, "wrong_host", {"Authorization": None}, path="/health"),
    Case("health for another site", {"Origin": "null"}, 403, "wrong_origin", {"Authorization": None}, path="/health"),
]  # fmt: skip


def _ask(home: Home, path: str, changes: dict[str, str | None], method: str = "GET") -> tuple[int, Any, bytes]:
    port, token = home.state["port"], home.token
    values = {"Host": "127.0.0.1:{port}", "Authorization": "Bearer {token}", **changes}
    headers = [
        (name, value.format(port=port, token=token, half=token[:40]))
        for name, value in values.items()
        if value is not None
    ]
    return exchange(port, request(method, path, headers))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_value_is_refused_and_the_right_one_passes(daemon: Home, case: Case) -> None:
    status, headers, body = _ask(daemon, case.path, {**case.right, **case.wrong})
    assert (status, headers["content-type"]) == (case.status, "application/problem+json")
    assert f'"code":"{case.code}"'.encode() in body
    status, headers, _ = _ask(daemon, case.path, case.right)
    assert status == 200
    assert not [name for name in headers if name.startswith("access-control")]


def test_a_preflight_gets_no_permission(daemon: Home) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    status, headers, _ = _ask(daemon, "/api/v1/memories", asked, "OPTIONS")
    assert status == 403
    assert not [name for name in headers if name.startswith("access-control")]
    own = {"Origin": "http://127.0.0.1:{port}", "Access-Control-Request-Method": "POST"}
    status, headers, _ = _ask(daemon, "/api/v1/memories", own, "OPTIONS")
    assert status == 405
    assert not [name for name in headers if name.startswith("access-control")]


def test_a_refusal_names_the_command_that_mends_it(daemon: Home) -> None:
    _, _, body = _ask(daemon, "/api/v1/stats", {"Authorization": None})
    assert b'"fix":"jmem daemon token"' in body


def test_an_unknown_address_without_a_token_tells_nothing(daemon: Home) -> None:
    assert _ask(daemon, "/api/v1/nothing", {"Authorization": None})[0] == 401
    assert _ask(daemon, "/api/v1/nothing", {})[0] == 404


def test_headers_that_decide_may_not_be_doubled(daemon: Home) -> None:
    port = daemon.state["port"]
    good = [("Host", f"127.0.0.1:{port}"), ("Authorization", f"Bearer {daemon.token}")]
    for name, value in (("Host", "evil.example"), ("Origin", "null"), ("Authorization", "Bearer x")):
        doubled = [*good, (name, value), (name, value)]
        assert exchange(port, request("GET", "/api/v1/stats", doubled))[0] == 400
    assert exchange(port, request("GET", "/api/v1/stats", [*good, ("Accept", "a"), ("Accept", "b")]))[0] == 200


def test_the_socket_needs_no_token_and_serves_no_web_page(daemon: Home) -> None:
    ask = [("Host", "anything")]
    assert exchange(daemon.socket_path, request("GET", "/api/v1/stats", ask))[0] == 200
    status, _, body = exchange(
        daemon.socket_path, request("GET", "/api/v1/stats", [*ask, ("Origin", "http://localhost")])
    )
    assert (status, b"wrong_origin" in body) == (403, True)


def test_the_token_is_told_on_the_socket_only(daemon: Home, api: Api) -> None:
    assert api.must("GET", "/daemon/token")["token"] == daemon.token
    status, _, body = _ask(daemon, "/api/v1/daemon/token", {})
    assert (status, b'"refused"' in body) == (403, True)


def test_a_token_does_not_stop_the_daemon(daemon: Home) -> None:
    with contextlib.closing(daemon.tcp()) as tcp:
        answer = tcp.call("POST", "/api/v1/daemon/stop", {})
        assert (answer.status, answer.body["code"], answer.body["fix"]) == (403, "socket_only", "jmem daemon stop")
        assert "stopping" not in json.loads((daemon.path / "run" / "daemon.lock").read_text())


def test_files_belong_to_their_owner_alone(daemon: Home, api: Api) -> None:
    api.add("a memory makes every file")
    for path in [daemon.path, *daemon.path.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_keys_open_one_client_of_one_user(daemon: Home, api: Api) -> None:
    port = daemon.state["port"]
    host = ("Host", f"127.0.0.1:{port}")
    claude = api.must("POST", "/clients", {"name": "claude"})
    key = claude["http"].rpartition("/")[2]
    api.must("POST", "/clients", {"name": "cursor"})

    def status(client: str, with_key: str) -> int:
        body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
        accept = ("Accept", "application/json, text/event-stream")
        headers = [host, ("Content-Type", "application/json"), accept]
        return exchange(port, request("POST", f"/mcp/{client}/http/{with_key}", headers, body))[0]

    assert status("claude", key) < 300
    assert status("cursor", key) == 404
    assert status("claude", key[:-1] + ("0" if key[-1] != "0" else "1")) == 404
    assert status("claude", daemon.token) == 404
    rotated = api.must("POST", "/clients", {"name": "claude", "rotate": True})["http"].rpartition("/")[2]
    assert rotated != key
    assert (status("claude", key), status("claude", rotated) < 300) == (404, True)
    assert api.must("DELETE", "/clients/claude")["revoked"] is True
    assert status("claude", rotated) == 404
    again = api.must("POST", "/clients", {"name": "claude"})["http"].rpartition("/")[2]
    assert again not in (key, rotated)
    assert (status("claude", rotated), status("claude", again) < 300) == (404, True)
    log = (daemon.path / "logs" / "daemon.log").read_text()
    assert key not in log
    assert daemon.token not in log


def test_the_relay_works_by_the_socket_only(daemon: Home, api: Api) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    headers = [("Host", f"127.0.0.1:{daemon.state['port']}"), ("Content-Type", "application/json"),
               ("Accept", "application/json, text/event-stream"), ("Authorization", f"Bearer {daemon.token}")]  # fmt: skip
    ask = request("POST", "/mcp/claude/stdio", headers, body)
    assert exchange(daemon.state["port"], ask)[0] == 404
    api.must("POST", "/clients", {"name": "claude"})
    assert exchange(daemon.socket_path, ask)[0] < 300
    api.must("DELETE", "/clients/claude")
    assert exchange(daemon.socket_path, ask)[0] == 403


def test_a_body_over_the_limit_is_refused_before_it_is_read(daemon: Home) -> None:
    headers = [("Host", "x"), ("Content-Length", str(MAX_BODY_BYTES + 1))]
    status, _, body = exchange(daemon.socket_path, request("POST", "/api/v1/memories", headers))
    assert (status, b'"too_large"' in body) == (413, True)
    chunked = request("POST", "/api/v1/memories", [("Host", "x"), ("Transfer-Encoding", "chunked")])
    piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    status, _, body = exchange(daemon.socket_path, chunked + piece * (MAX_BODY_BYTES // 0x100000 + 1))
    assert (status, b'"too_large"' in body) == (413, True)


def test_headers_over_the_limit_are_refused(daemon: Home) -> None:
    big = request("GET", "/health", [("Host", "x"), ("X-Filler", "a" * 70_000)])
    assert exchange(daemon.socket_path, big)[0] == 431
    assert exchange(daemon.socket_path, b"GET /health HTTP/1.1\r\nX-Filler: " + b"a" * 70_000)[0] == 431
    small = request("GET", "/health", [("Host", "x"), ("X-Filler", "a" * 10_000)])
    assert exchange(daemon.socket_path, small)[0] == 200


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x00\xa5\x01\x00", b"GET\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_what_is_no_http_gets_a_problem(daemon: Home, junk: bytes) -> None:
    status, headers, _ = exchange(daemon.socket_path, junk)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
