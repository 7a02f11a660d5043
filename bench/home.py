"""A jmem of its own: a home, the daemon a user would get, and thin clients for each of its surfaces.

Used by the benches and by tests/e2e. The clients are raw (http.client over a kept connection), so that what
is measured is the daemon and not a client library.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from jmem.core import places

T = TypeVar("T")
JMEM = str(Path(sys.executable).with_name("jmem"))
_KEPT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "VIRTUAL_ENV")


def wait_for(condition: Callable[[], T | None], seconds: float = 20.0, what: str = "the condition") -> T:
    """The condition's first true value; raises TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {seconds:g} s")
        time.sleep(0.01)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: its status, headers in lower case and raw body."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The parsed JSON, or None."""
        return json.loads(self.raw) if self.raw else None

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return 200 <= self.status < 300


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Api:
    """A kept connection to the HTTP API. Not thread-safe."""

    def __init__(self, connection: http.client.HTTPConnection, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self._headers = dict(headers)

    def call(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        """One request; raises OSError or http.client.HTTPException when the daemon is gone."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        sent = {**self._headers, **({"Content-Type": "application/json"} if data is not None else {}), **headers}
        try:
            self._connection.request(method, path, data, sent)
            response = self._connection.getresponse()
            received = {k.lower(): v for k, v in response.getheaders()}
            return Answer(response.status, received, response.read())
        except BaseException:
            self._connection.close()
            raise

    def must(self, method: str, path: str, body: Any = None) -> Any:
        """The body of a request that has to succeed."""
        answer = self.call(method, "/api/v1" + path, body)
        if not answer.ok:
            raise AssertionError(f"{method} {path}: {answer.status} {answer.raw[:400]!r}")
        return answer.body

    def add(self, content: str, **fields: Any) -> dict[str, Any]:
        """Store a memory; the whole answer."""
        return dict(self.must("POST", "/memories", {"content": content, **fields}))

    def search(self, query: str, **fields: Any) -> dict[str, Any]:
        """The answer of POST /search."""
        return dict(self.must("POST", "/search", {"query": query, **fields}))

    def every(self, **parameters: str) -> Iterator[dict[str, Any]]:
        """All memories of a listing, page by page."""
        cursor = ""
        while True:
            pairs = {"limit": "500", **parameters, **({"cursor": cursor} if cursor else {})}
            page = self.must("GET", "/memories?" + "&".join(f"{k}={v}" for k, v in pairs.items()))
            yield from page["memories"]
            cursor = page["next_cursor"]
            if not cursor:
                return

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Mcp:
    """A kept streamable-HTTP session of the Model Context Protocol. Not thread-safe."""

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        self._path = parts.path
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        self._headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        self._number = 0

    def open(self) -> Mcp:
        """The handshake."""
        client = {"name": "jmem-bench", "version": "1"}
        answer = self.rpc("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client})
        self._headers["MCP-Protocol-Version"] = answer["result"]["protocolVersion"]
        self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    def _post(self, message: dict[str, Any]) -> bytes:
        try:
            self._connection.request("POST", self._path, json.dumps(message).encode(), self._headers)
            response = self._connection.getresponse()
            data = response.read()
        except BaseException:
            self._connection.close()
            raise
        if session := response.getheader("Mcp-Session-Id"):
            self._headers["Mcp-Session-Id"] = session
        if response.status >= 400:
            raise ConnectionError(f"MCP {message.get('method')}: {response.status} {data[:200]!r}")
        return data

    def rpc(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The JSON-RPC answer, whether it came as JSON or as an event."""
        self._number += 1
        data = self._post({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        if data.startswith(b"{"):
            return dict(json.loads(data))
        for line in data.splitlines():
            if line.startswith(b"data:") and b'"jsonrpc"' in line:
                message = json.loads(line[5:])
                if message.get("id") == self._number:
                    return dict(message)
        raise ConnectionError(f"MCP {method}: no answer in {data[:200]!r}")

    def tool(self, name: str, **arguments: Any) -> dict[str, Any]:
        """The result of a tool call: content, structuredContent, isError."""
        answer = self.rpc("tools/call", {"name": name, "arguments": arguments})
        if "result" not in answer:
            raise AssertionError(f"tool {name}: {answer}")
        return dict(answer["result"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Home:
    """One JMEM_HOME, the commands run in it, and its daemon."""

    def __init__(self, path: Path, **environ: str) -> None:
        self.path = path
        self._urls: dict[str, str] = {}
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self.env = {
            **kept, "HOME": str(path.parent), "JMEM_HOME": str(path), "JMEM_PORT": str(free_port()), "NO_COLOR": "1",
            **environ,
        }  # fmt: skip

    # -- commands

    @property
    def coloured(self) -> dict[str, str]:
        """The environment of a person at a terminal with colours, which commands in tests do without."""
        return {name: value for name, value in self.env.items() if name != "NO_COLOR"}

    def jmem(
        self,
        *args: str,
        input: str | bytes = b"",
        check: bool = True,
        timeout: float = 60,
        before_exec: Callable[[], object] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `jmem ARGS`; raises AssertionError with its stderr when `check` and it fails."""
        done = subprocess.run(
            [JMEM, *args],
            input=input.encode() if isinstance(input, str) else input,
            env=self.env,
            capture_output=True,
            timeout=timeout,
            check=False,
            preexec_fn=before_exec,
        )
        text = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        if check and done.returncode:
            raise AssertionError(f"jmem {args}: exit {done.returncode}\n{text.stdout}\n{text.stderr}")
        return text

    def json(self, *args: str, **more: Any) -> Any:
        """The JSON document a command prints."""
        return json.loads(self.jmem(*args, "--json", **more).stdout)

    # -- the daemon

    @property
    def state(self) -> dict[str, Any]:
        """run/daemon.json: pid, version, port, socket; empty when there is none."""
        try:
            return dict(json.loads(Path(places.daemon_info(str(self.path))).read_text()))
        except (OSError, ValueError):
            return {}

    @property
    def pid(self) -> int | None:
        """The daemon's process, when it is alive."""
        pid = self.state.get("pid")
        return pid if pid and alive(pid) else None

    @property
    def socket_path(self) -> str:
        """The daemon's unix socket."""
        return places.socket_path(str(self.path))

    def start(self) -> int:
        """The pid of a daemon that answers, started when there is none."""
        if not self.pid:
            self.jmem("daemon", "start")
        return wait_for(lambda: self.pid, what="a daemon")

    def stop(self) -> None:
        """Ask the daemon to stop and wait until it is gone."""
        if pid := self.pid:
            os.kill(pid, signal.SIGTERM)
            wait_gone(pid)

    def kill(self) -> None:
        """kill -9 of the daemon, if there is one."""
        if pid := self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_gone(pid)
            # The socket takes connections until the last thread of the process is gone, which is later.
            wait_for(lambda: not self._listens() or self.pid not in (None, pid), 20.0, "the end of the daemon's socket")

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(str(self.socket_path)) == 0

    # -- clients

    def api(self, *, user: str = "default", client: str = "cli", timeout: float = 30.0) -> Api:
        """Over the unix socket."""
        return Api(_Unix(self.socket_path, timeout), {"X-Jmem-User": user, "X-Jmem-Client": client})

    def tcp(self, *, timeout: float = 30.0) -> Api:
        """Over loopback TCP with the bearer token."""
        connection = http.client.HTTPConnection("127.0.0.1", int(self.state["port"]), timeout=timeout)
        return Api(connection, {"Authorization": f"Bearer {self.token}"})

    @cached_property
    def token(self) -> str:
        """The bearer token of the default user; it outlives the daemon."""
        return self.jmem("daemon", "token").stdout.strip()

    def mcp_url(self, client: str = "bench") -> str:
        """The personal streamable-HTTP URL of a client; it outlives the daemon."""
        if client not in self._urls:
            self._urls[client] = str(self.json("connect", client, "--print")["http"])
        return self._urls[client]

    def mcp(self, client: str = "bench") -> Mcp:
        """An open session."""
        return Mcp(self.mcp_url(client)).open()

    def status(self) -> dict[str, Any]:
        """What `jmem status --json` says, asked over the socket."""
        with contextlib.closing(self.api()) as api:
            return dict(api.must("GET", "/status"))

    def indexed(self, seconds: float = 60.0) -> None:
        """Wait until no vector is pending."""
        with contextlib.closing(self.api()) as api:
            wait_for(lambda: api.must("GET", "/status")["pending_index"] == 0, seconds, "pending_index 0")

    @property
    def user_folder(self) -> Path:
        """The folder of the only user."""
        return next((self.path / "users").iterdir())


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except FileNotFoundError:
        return False


def wait_gone(pid: int, seconds: float = 20.0) -> None:
    """Wait until a process has ended; raises AssertionError after `seconds`."""
    wait_for(lambda: not alive(pid), seconds, f"the end of process {pid}")


@contextlib.contextmanager
def temporary_home(source: Path | None = None, **environ: str) -> Iterator[Home]:
    """A home under a short temporary path, a copy of `source` when given; its daemon is killed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="jmem-"))
    home = Home(folder / "h", **environ)
    try:
        if source is not None:
            shutil.copytree(source, home.path)
            for name in ("run", "port"):
                left = home.path / name
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        yield home
    finally:
        home.kill()
        while home.pid:  # whatever still asked has started another one
            home.kill()
        shutil.rmtree(folder, ignore_errors=True)
