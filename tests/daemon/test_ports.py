"""The TCP port: chosen once, kept, and never moved silently."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.home import Home, free_port
from daemon.sockets import bind_tcp, port_holder
from jmem.core.settings import load
from tests.daemon.harness import Spawned, exchange, request, stop


@contextlib.contextmanager
def held(port: int) -> Iterator[None]:
    """Another program that listens on the port: this test."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def test_a_busy_port_at_first_run_gives_another_that_is_kept(home: Home, spawn: Callable[..., Spawned]) -> None:
    wanted = int(home.env["JMEM_PORT"])
    with held(wanted):
        first = spawn()
        port = first.said["port"]
        assert port != wanted
        assert exchange(port, request("GET", "/health", [("Host", f"127.0.0.1:{port}")]))[0] == 200
        stop(home, first.pid)
    assert (home.path / "port").read_text() == f"{port}\n"
    assert spawn().said["port"] == port  # although the wanted one is free by now


def test_a_kept_port_that_is_taken_leaves_the_socket_and_names_the_holder(
    home: Home, spawn: Callable[..., Spawned]
) -> None:
    first = spawn()
    port = first.said["port"]
    stop(home, first.pid)
    with held(port):
        second = spawn()
        assert second.said["ok"]
        assert second.said["port"] is None
        status = home.status()["daemon"]
        assert (status["port"], status["listens"]) == (port, False)
        assert f"(pid {os.getpid()})" in status["trouble"]
        logged = [json.loads(line) for line in (home.path / "logs" / "daemon.log").read_text().splitlines()]
        started = [line for line in logged if line["event"] == "started"]
        assert str(os.getpid()) in started[-1]["trouble"]
        urls = home.json("connect", "claude", "--print")
        assert f"127.0.0.1:{port}/" in urls["http"]
        stop(home, second.pid)
    assert spawn().said["port"] == port
    lines = [json.loads(line) for line in (home.path / "logs" / "daemon.log").read_text().splitlines()]
    started = [line for line in lines if line["event"] == "started"]
    assert ["trouble" in line for line in started] == [False, True, False]


def test_a_port_that_the_owner_sets_takes_its_place(home: Home) -> None:
    home.path.mkdir()
    environ = {"JMEM_HOME": str(home.path)}
    one, two = free_port(), free_port()

    def bound(**more: str) -> int:
        tcp = bind_tcp(load({**environ, **more}))
        assert tcp.sock is not None
        tcp.sock.close()
        return tcp.port

    assert bound(JMEM_PORT=str(one)) == one
    assert bound() == one
    assert bound(JMEM_PORT=str(two)) == two
    assert bound() == two
    with held(one):
        tcp = bind_tcp(load({**environ, "JMEM_PORT": str(one)}))
        assert (tcp.sock, tcp.port) == (None, one)
        assert "held by" in str(tcp.trouble)
    assert bound() == two


def test_the_holder_of_a_port_is_found() -> None:
    port = free_port()
    assert port_holder(port) is None
    with held(port):
        holder = port_holder(port)
        if not Path("/proc/net/tcp").exists():
            assert holder is None  # nothing tells it there
            return
        assert holder is not None
        assert holder.pid == os.getpid()
