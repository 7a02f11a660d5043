"""Starting, stopping and dying, with real processes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.home import Home, wait_for
from jmem.core import places
from tests.daemon.harness import Spawned, exchange, request, without_privileges

Spawn = Callable[..., Spawned]


def test_twenty_commands_at_once_start_one_daemon(home: Home) -> None:
    with ThreadPoolExecutor(20) as threads:
        done = list(threads.map(lambda n: home.jmem("add", f"memory number {n}", "--json"), range(20)))
    assert len({json.loads(each.stdout)["id"] for each in done}) == 20
    started = [line for line in _log(home) if line["event"] == "started"]
    assert len(started) == 1
    with contextlib.closing(home.api()) as api:
        assert api.must("GET", "/stats")["memories"] == 20


def test_daemons_that_race_leave_one_and_the_others_name_it(home: Home, spawn: Spawn) -> None:
    racing = [spawn(wait=False) for _ in range(6)]
    said = [each.answer() for each in racing]
    winners = [each for each, answer in zip(racing, said, strict=True) if answer.get("ok")]
    assert len(winners) == 1
    for each, answer in zip(racing, said, strict=True):
        if each is not winners[0]:
            assert (answer["code"], answer["pid"]) == ("locked", winners[0].pid)
            code, errors = each.end()
            assert code == 6
            assert f"pid {winners[0].pid}" in errors


def test_a_second_daemon_is_refused_and_the_first_serves_on(home: Home, spawn: Spawn) -> None:
    first, second = spawn(), spawn()
    assert (second.said["code"], second.said["pid"], second.said["fix"]) == ("locked", first.pid, "jmem daemon stop")
    assert exchange(home.socket_path, request("GET", "/health", []))[0] == 200


def test_a_stale_socket_and_a_stale_lock_are_no_obstacle(home: Home, spawn: Spawn) -> None:
    spawn().process.kill()
    home_files = [
        Path(home.socket_path),
        Path(places.daemon_lock(str(home.path))),
        Path(places.daemon_info(str(home.path))),
    ]
    assert all(path.exists() for path in home_files)
    wait_for(lambda: not _holds_lock(home), what="the lock to fall")
    assert spawn().said["ok"]
    assert exchange(home.socket_path, request("GET", "/health", []))[0] == 200


def test_everything_acknowledged_is_there_after_kill_9(home: Home) -> None:
    home.start()
    with contextlib.closing(home.api()) as api:
        kept = [api.add(f"fact {n}")["id"] for n in range(5)]
        gone = api.add("a memory to forget")["id"]
        api.must("DELETE", f"/memories/{gone}")
    home.kill()
    listed = home.json("list", "-n", "100")["memories"]
    assert {memory["id"] for memory in listed} == set(kept)


def test_sigterm_lets_requests_finish(home: Home, spawn: Spawn) -> None:
    daemon = spawn()
    acknowledged: list[str] = []
    stopped = threading.Event()

    def write(worker: int) -> None:
        with contextlib.closing(home.api()) as api:
            for n in range(10_000):
                try:
                    acknowledged.append(api.add(f"fact {n} of writer {worker}")["id"])
                except (OSError, AssertionError, EOFError):
                    assert stopped.is_set()
                    return

    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write, worker) for worker in range(4)]
        wait_for(lambda: len(acknowledged) > 20, what="20 writes")
        stopped.set()
        os.kill(daemon.pid, signal.SIGTERM)
        for writer in writers:
            writer.result()
    assert daemon.end()[0] == 0
    assert not Path(home.socket_path).exists()
    assert not Path(places.daemon_info(str(home.path))).exists()
    spawn()
    with contextlib.closing(home.api()) as api:
        assert set(acknowledged) <= {memory["id"] for memory in api.every()}


def test_the_stop_route_and_sigint_stop_it_too(home: Home, spawn: Spawn) -> None:
    first = spawn()
    status, _, body = exchange(home.socket_path, request("POST", "/api/v1/daemon/stop", []))
    assert (status, json.loads(body)["pid"]) == (200, first.pid)
    assert first.end()[0] == 0
    second = spawn()
    os.kill(second.pid, signal.SIGINT)
    assert second.end()[0] == 0


def test_a_second_signal_ends_it_at_once(home: Home, spawn: Spawn) -> None:
    daemon = spawn()
    with socket.socket(socket.AF_UNIX) as unfinished:
        unfinished.connect(home.socket_path)
        unfinished.sendall(b"POST /api/v1/memories HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhalf")
        wait_for(lambda: _log_has(home, "started"), what="the log")
        exchange(home.socket_path, request("GET", "/health", []))
        os.kill(daemon.pid, signal.SIGTERM)
        wait_for(lambda: '"stopping"' in Path(places.daemon_lock(str(home.path))).read_text(), what="stopping")
        assert daemon.process.poll() is None
        os.kill(daemon.pid, signal.SIGTERM)
        began = time.monotonic()
        assert daemon.end()[0] == 1
        assert time.monotonic() - began < 5


def test_one_that_starts_while_another_stops_waits_for_it(home: Home, spawn: Spawn) -> None:
    first = spawn()
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(home.socket_path)
        slow.sendall(b"POST /api/v1/memories HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n")
        exchange(home.socket_path, request("GET", "/health", []))
        os.kill(first.pid, signal.SIGTERM)
        wait_for(lambda: '"stopping"' in Path(places.daemon_lock(str(home.path))).read_text(), what="stopping")
        second = spawn(wait=False)
        slow.sendall(b'{"content":"sent at the end" }')
        assert b"201 Created" in slow.recv(65536)
    assert first.end()[0] == 0
    assert second.answer()["ok"]
    with contextlib.closing(home.api()) as api:
        assert [memory["content"] for memory in api.every()] == ["sent at the end"]


def test_a_home_that_is_removed_or_replaced_ends_its_daemon(home: Home, spawn: Spawn) -> None:
    first = spawn()
    port, token = first.said["port"], home.token
    shutil.rmtree(home.path)
    second = spawn()
    assert second.said["ok"]
    headers = [("Host", f"127.0.0.1:{port}"), ("Authorization", f"Bearer {token}")]
    status, _, body = exchange(port, request("POST", "/api/v1/memories", headers, b'{"content":"into the void"}'))
    assert (status, json.loads(body)["code"]) == (507, "home_gone")
    assert first.end()[0] == 0
    assert home.pid == second.pid  # what it left alone: the socket and the files of its successor
    with contextlib.closing(home.api()) as api:
        api.add("into the new home")


def test_a_deep_home_works_through_a_short_socket(home: Home) -> None:
    deep = home.path / ("d" * 60) / ("e" * 60)
    there = Home(deep)
    there.env["JMEM_PORT"] = home.env["JMEM_PORT"]
    assert len(os.fsencode(there.socket_path)) <= places.MAX_SOCKET_BYTES
    there.jmem("add", "deep down")
    try:
        assert there.json("search", "down")["results"][0]["content"] == "deep down"
        assert Path(there.socket_path).parent.stat().st_mode & 0o077 == 0
    finally:
        there.stop()
    assert not Path(there.socket_path).exists()


def test_a_short_folder_of_somebody_else_is_not_used(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from daemon.sockets import bind_unix
    from jmem.core.errors import StorageFailed

    open_to_all = home.path.parent / "open"
    open_to_all.mkdir(mode=0o777)
    open_to_all.chmod(0o777)
    monkeypatch.setattr(places, "short_dir", lambda: str(open_to_all))
    with pytest.raises(StorageFailed, match="alone"):
        bind_unix(str(home.path / ("d" * 120)))


def test_bad_settings_are_told_to_the_one_who_starts_it(home: Home, spawn: Spawn) -> None:
    home.path.mkdir()
    (home.path / "config.toml").write_text("[idle]\nstop = 'late'\n")
    refused = spawn()
    assert (refused.said["code"], refused.end()[0]) == ("bad_config", 2)
    done = home.jmem("add", "something", check=False)
    assert done.returncode == 3
    assert "idle.stop" in done.stderr


def test_two_daemons_do_not_share_a_store(home: Home, spawn: Spawn) -> None:
    home.start()
    with contextlib.closing(home.api()) as api:
        api.add("one store")
    other = Home(home.path.parent / "other", JMEM_PORT=home.env["JMEM_PORT"])
    other.path.mkdir()
    for name in ("users.json", "secret"):
        shutil.copy(home.path / name, other.path / name)
    (other.path / "users").symlink_to(home.path / "users")
    spawn(home=other)
    with contextlib.closing(other.api()) as api:
        answer = api.call("GET", "/api/v1/stats")
    assert (answer.status, answer.body["code"], answer.body["pid"]) == (409, "locked", home.pid)


def test_a_read_only_database_is_read_and_says_why_it_is_not_written(home: Home) -> None:
    home.start()
    with contextlib.closing(home.api()) as api:
        id = api.add("written while it could be")["id"]
    home.stop()
    for path in home.user_folder.glob("memories.db*"):
        path.chmod(0o444)
    daemon = Spawned(home, preexec_fn=without_privileges)
    try:
        with contextlib.closing(home.api()) as api:
            assert api.call("GET", f"/api/v1/memories/{id}").body["content"] == "written while it could be"
            refused = api.call("POST", "/api/v1/memories", {"content": "now it can not be"})
            assert (refused.status, refused.body["code"]) == (507, "read_only")
            assert refused.body["fix"]
            assert api.search("written", mode="text")["results"][0]["id"] == id
    finally:
        os.kill(daemon.pid, signal.SIGTERM)
        assert daemon.end()[0] == 0


def test_health_and_tools_answer_before_the_model_is_loaded(home: Home, spawn: Spawn) -> None:
    spawn()
    status, _, body = exchange(home.socket_path, request("GET", "/health", []))
    health = json.loads(body)
    assert (status, health["status"], health["pid"]) == (200, "ok", home.pid)
    assert health["build"].startswith(health["version"])


def test_the_daemon_starts_without_what_it_does_not_need_yet(home: Home) -> None:
    code = (
        "import sys, daemon.lifecycle, daemon.app, daemon.server\nfrom daemon import api\napi.groups()\n"
        "late = ('mcp', 'fastapi', 'starlette', 'openai', 'dateparser', 'yaml', 'rich', 'prometheus_client', 'numpy',"
        " 'onnxruntime', 'qdrant_edge')\nprint([name for name in late if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env=home.env)
    assert done.stdout.strip() == "[]"


def _log(home: Home) -> list[dict[str, object]]:
    return [json.loads(line) for line in (home.path / "logs" / "daemon.log").read_text().splitlines()]


def _log_has(home: Home, event: str) -> bool:
    return (home.path / "logs" / "daemon.log").exists() and any(line["event"] == event for line in _log(home))


def _holds_lock(home: Home) -> bool:
    with Path(places.daemon_lock(str(home.path))).open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_busy_thread_gives_way_within_a_millisecond(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    code = "import sys; from daemon.lifecycle import run; run(None, {'JMEM_HOME': sys.argv[1]}); print(sys.getswitchinterval())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")], capture_output=True, text=True, timeout=30
    )
    assert float(done.stdout) <= 0.001, done.stderr
