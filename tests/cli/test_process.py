"""The daemon as commands meet it: started on demand, once, replaced when older, missed with a reason."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jmem.client import Client
from jmem.core import places
from jmem.core.errors import Unreachable

from .conftest import Jmem, command

OLD = """
import sys, jmem
jmem.__version__ = "0.0.1"
from daemon.__main__ import main
sys.exit(main(["run"]))
"""


def pid_of(jmem: Jmem) -> int:
    return int(json.loads(jmem.ok("daemon", "status", "--json").out)["daemon"]["pid"])


def test_status_starts_nothing(make_jmem) -> None:
    jmem = make_jmem()
    status = json.loads(jmem.ok("status", "--json").out)
    assert status["daemon"] is None
    assert set(status) >= {"version", "user_id", "memories", "pending_index", "daemon", "embedder", "sync"}
    assert list(jmem.home.iterdir()) == []
    assert "not running" in jmem.ok("status").out
    assert (jmem("daemon", "status").code, jmem("daemon", "status").out) == (3, "not running\n")
    assert jmem.ok("daemon", "stop").err == "jmem: it does not run\n"


def test_start_stop_restart(make_jmem) -> None:
    jmem = make_jmem()
    assert "started, pid " in jmem.ok("daemon", "start").err
    assert jmem.ok("list").err == "jmem: no memories\n"
    assert jmem.ok("undo").err == "jmem: there is nothing to undo\n"
    assert jmem.ok("log").err == "jmem: nothing was done yet\n"
    first = pid_of(jmem)
    assert f"it runs already, pid {first}" in jmem.ok("daemon", "start").err
    status = json.loads(jmem.ok("status", "--json").out)
    assert status["daemon"]["pid"] == first
    assert status["memories"] == 0
    assert status["user_id"]
    assert f"pid {first}" in jmem.tty("status").out
    jmem.ok("daemon", "restart", "-q")
    second = pid_of(jmem)
    assert second != first
    assert jmem.ok("daemon", "stop").err == "jmem: stopped\n"
    assert json.loads(jmem.ok("status", "--json").out)["user_id"] == status["user_id"]


def test_twenty_racing_commands_start_one_daemon(make_jmem) -> None:
    jmem = make_jmem()
    racing = [
        subprocess.Popen([*command(), "add", "-q", f"racer {n}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=jmem.environ()) for n in range(20)
    ]  # fmt: skip
    for process in racing:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, b"")
        assert len(out) == 37
    log = (jmem.home / "logs" / "daemon.log").read_text()
    assert log.count('"event":"started"') == 1
    assert len(jmem.ok("list", "--all").lines) == 20


def test_after_kill_9_the_next_command_works(make_jmem) -> None:
    jmem = make_jmem()
    id = jmem.ok("add", "survives").out.strip()
    os.kill(pid_of(jmem), signal.SIGKILL)
    assert jmem.ok("show", id, "--text").out == "survives\n"


def test_an_older_daemon_is_replaced(make_jmem) -> None:
    jmem = make_jmem()
    old = subprocess.Popen([sys.executable, "-P", "-c", OLD], env=jmem.environ(), stdin=subprocess.DEVNULL)
    client = Client(str(jmem.home), autostart=False)
    deadline = time.monotonic() + 20
    while not client.listening():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    result = jmem.ok("list")
    assert "restarting the daemon: it is version 0.0.1" in result.err
    assert old.wait(timeout=10) == 0
    assert client.health()["version"] != "0.0.1"
    assert jmem.ok("list").err == "jmem: no memories\n"


def test_a_newer_daemon_is_left_alone(make_jmem) -> None:
    jmem = make_jmem()
    newer = subprocess.Popen(
        [sys.executable, "-P", "-c", OLD.replace("0.0.1", "99.0.0")], env=jmem.environ(), stdin=subprocess.DEVNULL
    )
    client = Client(str(jmem.home), autostart=False)
    deadline = time.monotonic() + 20
    while not client.listening():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert jmem.ok("add", "fine", "--json").err == ""
    client.stop()
    assert newer.wait(timeout=10) == 0


def test_a_home_too_deep_for_a_socket(make_jmem) -> None:
    jmem = make_jmem()
    deep = Jmem(jmem.home / ("deep" * 30) / "home")
    try:
        id = deep.ok("add", "deep down").out.strip()
        assert deep.ok("show", id, "--text").out == "deep down\n"
        path = places.socket_path(str(deep.home))
        assert len(path) < 60
        assert Path(path).stat().st_mode & 0o777 == 0o600
    finally:
        deep.ok("daemon", "stop")


def test_a_home_that_cannot_be_written(make_jmem) -> None:
    jmem = Jmem(Path("/proc/nowhere"))
    result = jmem("list")
    assert (result.code, result.out) == (3, "")
    assert "so no daemon can run" in result.err
    assert "fix: set JMEM_HOME" in result.err
    assert json.loads(jmem("list", "--json").err)["code"] == "unreachable"


def test_a_daemon_that_cannot_start_says_why(make_jmem) -> None:
    jmem = make_jmem()
    (jmem.home / "config.toml").write_text("port = 'no'\n")
    result = jmem("list")
    assert result.code == 3
    assert "the daemon can't start: " in result.err
    assert "port" in result.err
    assert "  fix: " in result.err


def test_a_daemon_that_dies_at_birth_leaves_its_last_words(make_jmem, tmp_path) -> None:
    jmem = make_jmem()
    broken = tmp_path / "sitecustomize.py"
    broken.write_text("import sys\nif 'daemon' in sys.orig_argv:\n    sys.exit('the interpreter is broken')\n")
    result = jmem("list", env={"PYTHONPATH": str(tmp_path)})
    assert result.code == 3
    assert "the interpreter is broken" in result.err
    assert "fix: jmem doctor" in result.err
    assert json.loads(jmem("list", "--json", env={"PYTHONPATH": str(tmp_path)}).err)["log"].endswith("daemon.log")


class Deaf:
    """Something that listens where the daemon should, takes requests, and hangs up without a word."""

    def __init__(self, home: Path) -> None:
        (home / "run").mkdir(parents=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(places.socket_path(str(home)))
        self.socket.listen()
        self.socket.settimeout(20)

    def hang_up(self) -> bytes:
        connection, _ = self.socket.accept()
        with connection:
            return connection.recv(65536)


@pytest.fixture
def deaf() -> Deaf:
    home = Path(tempfile.mkdtemp(prefix="jmem-"))
    server = Deaf(home)
    server.home = home
    yield server
    server.socket.close()
    shutil.rmtree(home)


def test_what_cannot_be_repeated_is_asked_once(deaf: Deaf) -> None:
    process = subprocess.Popen(
        [*command(), "undo"], stderr=subprocess.PIPE, env=Jmem(deaf.home).environ(), stdin=subprocess.DEVNULL
    )
    assert deaf.hang_up().startswith(b"POST /api/v1/undo ")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert b"`jmem log` shows if it was done" in err


def test_what_a_model_writes_is_asked_once(deaf: Deaf) -> None:
    asked: list[bytes] = []
    thread = threading.Thread(target=lambda: asked.append(deaf.hang_up()))
    thread.start()
    with pytest.raises(Unreachable, match="shows if it was done"):
        Client(str(deaf.home), autostart=False).add({"content": "x", "infer": True})
    thread.join()
    assert asked[0].startswith(b"POST /api/v1/memories ")


@pytest.mark.parametrize("call", [
    lambda client: client.request("GET", "/stats", timeout=0.2),
    lambda client: list(client.lines("GET", "/api/v1/export", timeout=0.2)),
])  # fmt: skip
def test_an_answer_that_stops_in_the_middle_is_told(deaf: Deaf, call: Callable[[Client], object]) -> None:
    def serve() -> None:
        connection, _ = deaf.socket.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")
            assert done.wait(20)

    done = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(Unreachable, match="in the middle of its answer"):
        call(Client(str(deaf.home), autostart=False))
    done.set()
    thread.join()


def test_a_lock_that_can_not_be_taken_is_a_daemon_that_can_not_be_reached(make_jmem) -> None:
    jmem = make_jmem()
    Path(places.start_lock(str(jmem.home))).mkdir(parents=True)
    result = jmem("list")
    assert result.code == 3
    assert "no daemon can run" in result.err


def test_what_can_be_repeated_is_asked_twice(deaf: Deaf) -> None:
    process = subprocess.Popen(
        [*command(), "add", "x"], stderr=subprocess.PIPE, env=Jmem(deaf.home).environ(), stdin=subprocess.DEVNULL
    )
    assert deaf.hang_up() == deaf.hang_up() != b""
    _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert b"stopped before it answered, twice" in err


def test_without_leave_to_start_one(make_jmem) -> None:
    client = Client(str(make_jmem().home), autostart=False)
    with pytest.raises(Unreachable) as error:
        client.stats()
    assert error.value.fix == "jmem daemon start"


def test_logs(jmem: Jmem) -> None:
    jmem.ok("daemon", "start")
    assert any("started" in line for line in jmem.ok("daemon", "logs").lines)
    assert json.loads(jmem.ok("daemon", "logs", "-n", "1", "--jsonl").lines[-1])
    process = subprocess.Popen([*command(), "daemon", "logs", "-f", "-n", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=jmem.environ(), stdin=subprocess.DEVNULL)  # fmt: skip
    assert process.stdout
    process.stdout.readline()
    jmem.ok("list")
    assert b"request" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, b"")


def test_logs_before_there_are_any(make_jmem) -> None:
    result = make_jmem()("daemon", "logs")
    assert (result.code, "fix: jmem daemon start" in result.err) == (5, True)


def test_token_opens_the_http_api(jmem: Jmem) -> None:
    import urllib.request

    token = jmem.ok("daemon", "token").out.strip()
    port = json.loads(jmem.ok("status", "--json").out)["daemon"]["port"]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/tags", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer) == {"tags": []}


def test_run_in_the_foreground(make_jmem) -> None:
    jmem = make_jmem()
    process = subprocess.Popen(
        [*command(), "daemon", "run"], env=jmem.environ(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 20
    while jmem("daemon", "status").code != 0:
        assert time.monotonic() < deadline
    assert pid_of(jmem) == process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=15) == 0


def test_ctrl_c_is_130(jmem: Jmem) -> None:
    process = subprocess.Popen([*command(), "add", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=jmem.environ())  # fmt: skip
    stack = Path(f"/proc/{process.pid}/wchan")
    deadline = time.monotonic() + 20
    while (
        "pipe" not in stack.read_text()
        and time.monotonic() < deadline
        and Path(f"/proc/{process.pid}/syscall").exists()
    ):
        if Path(f"/proc/{process.pid}/syscall").read_text().startswith("0 0x0 "):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, b"", b"")
