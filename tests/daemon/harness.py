"""The daemon started by hand, and raw requests to it."""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bench.home import Home, wait_gone

RUN = [sys.executable, "-P", "-m", "daemon", "run"]
READY_S = 30.0


class Spawned:
    """A daemon process that this test started, and the line it sent when it was ready or had failed."""

    def __init__(self, home: Home, wait: bool = True, **options: Any) -> None:
        reader, writer = os.pipe()
        self._reader = reader
        self.process = subprocess.Popen(
            [*RUN, "--ready-fd", str(writer)], env=options.pop("env", home.env), cwd="/", pass_fds=(writer,),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip
        os.close(writer)
        self.said: dict[str, Any] = self.answer() if wait else {}

    @property
    def pid(self) -> int:
        return self.process.pid

    def answer(self) -> dict[str, Any]:
        """The line on the pipe."""
        data, deadline = b"", time.monotonic() + READY_S
        while not data.endswith(b"\n"):
            assert select.select([self._reader], [], [], deadline - time.monotonic())[0], "the daemon said nothing"
            piece = os.read(self._reader, 65536)
            if not piece:
                break
            data += piece
        os.close(self._reader)
        self.said = dict(json.loads(data)) if data else {}
        return self.said

    def end(self, timeout: float = 20.0) -> tuple[int, str]:
        """Wait for its end: exit code and stderr."""
        _, errors = self.process.communicate(timeout=timeout)
        return self.process.returncode, errors.decode()


def exchange(address: str | int, request: bytes, timeout: float = 10.0) -> tuple[int, Mapping[str, str], bytes]:
    """Send raw bytes to a unix socket or a port of 127.0.0.1: status, headers and body of the answer."""
    unix = isinstance(address, str)
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as connection:
        connection.settimeout(timeout)
        connection.connect(address if unix else ("127.0.0.1", address))
        connection.sendall(request)
        data = b""
        while piece := connection.recv(65536):
            data += piece
            head, separator, body = data.partition(b"\r\n\r\n")
            if separator and len(body) >= int(_headers(head).get("content-length", 1 << 62)):
                break
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), _headers(head), body


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.decode().split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in pairs}


def request(method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> bytes:
    """The bytes of a request, with just these headers."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def stop(home: Home, pid: int) -> None:
    """SIGTERM, and wait for the end."""
    os.kill(pid, 15)
    wait_gone(pid)


def without_privileges() -> None:
    """In the child before it runs: file permissions then hold for root as for anybody."""
    drop_from_bounding_set = 24
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(41):
        libc.prctl(drop_from_bounding_set, capability, 0, 0, 0)
