"""systemd and launchd: what is written, and sockets that are handed over."""

from __future__ import annotations

import json
import os
import plistlib
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.home import Home, free_port, wait_for
from daemon import units
from jmem.core.settings import load
from tests.daemon.harness import RUN, exchange, request


@pytest.fixture
def odd_home(home: Home) -> Path:
    """A home whose path has what unit files give a meaning to."""
    return home.path / 'a b%n"$HOME'


def test_units_say_what_systemd_understands(odd_home: Path, home: Home) -> None:
    environ = {"JMEM_HOME": str(odd_home), "JMEM_PORT": home.env["JMEM_PORT"], "HOME": str(home.path)}
    files = units.texts(load(environ), environ)
    assert [path.name for path in files] == ["jmem.service", "jmem.socket", "jmem-http.socket"]
    assert {path.parent for path in files} == {home.path / ".config" / "systemd" / "user"}
    texts = {path.name: text for path, text in files.items()}
    assert f"ListenStream=127.0.0.1:{home.env['JMEM_PORT']}\n" in texts["jmem-http.socket"]
    assert (odd_home / "port").exists()
    assert "a b%%n" in texts["jmem.service"]
    if shutil.which("systemd-analyze"):
        folder = home.path / "verify"
        folder.mkdir()
        for name, text in texts.items():
            (folder / name).write_text(text)
        environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        command = ["systemd-analyze", "verify", "--user", *(str(folder / name) for name in texts)]
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_launchd_agent_is_a_property_list(odd_home: Path) -> None:
    agent = plistlib.loads(units.plist(odd_home).encode())
    assert agent["ProgramArguments"] == [sys.executable, "-P", "-m", "daemon", "run"]
    assert agent["EnvironmentVariables"]["JMEM_HOME"] == str(odd_home)


def test_install_stops_a_running_daemon_and_uninstall_removes_what_it_wrote(home: Home) -> None:
    pid = home.start()
    environ = {**home.env, "PATH": "/nonexistent", "HOME": str(home.path)}
    run = [sys.executable, "-P", "-m", "daemon"]
    shown = subprocess.run([*run, "install", "--print"], env=environ, capture_output=True, text=True, check=True)
    assert "ListenStream" in shown.stdout
    assert not (home.path / ".config").exists()
    done = subprocess.run([*run, "install"], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, "systemctl is not on this machine" in done.stderr) == (1, True)
    assert not Path(f"/proc/{pid}").exists() or home.pid is None
    folder = home.path / ".config" / "systemd" / "user"
    assert len(list(folder.iterdir())) == 3
    subprocess.run([*run, "uninstall"], env=environ, capture_output=True, text=True, check=False)
    assert list(folder.iterdir()) == []


def test_a_daemon_takes_the_sockets_that_systemd_hands_over(home: Home) -> None:
    home.path.mkdir()
    run_dir = home.path / "run"
    run_dir.mkdir()
    port = free_port()
    with socket.socket(socket.AF_UNIX) as unix, socket.socket() as tcp:
        unix.bind(home.socket_path)
        unix.listen()
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("127.0.0.1", port))
        tcp.listen()

        def hand_over() -> None:
            # as systemd does it: descriptors from 3 on, and the pid of the very process that gets them
            copies = [os.dup(fd) for fd in (unix.fileno(), tcp.fileno())]
            for place, copy in enumerate(copies, 3):
                os.dup2(copy, place)
                os.set_inheritable(place, True)

        launcher = ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=2 exec "$@"', "sh", *RUN]
        process = subprocess.Popen(launcher, env=home.env, cwd="/", preexec_fn=hand_over, close_fds=False)
        try:
            assert exchange(home.socket_path, request("GET", "/health", []), timeout=20)[0] == 200
            headers = [("Host", f"127.0.0.1:{port}")]
            assert exchange(port, request("GET", "/health", headers))[0] == 200
            daemon = home.status()["daemon"]
            assert (daemon["activated"], daemon["port"], daemon["pid"]) == (True, port, process.pid)
            assert not (home.path / "port").exists()
        finally:
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(20) == 0
        assert Path(home.socket_path).exists()  # it is systemd's: the next connection starts the daemon again
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(home.socket_path)


def test_systemd_activates_it_for_real(home: Home) -> None:
    """systemd-socket-activate is the hand-over of systemd itself, without its manager."""
    program = shutil.which("systemd-socket-activate")
    if program is None:
        return
    home.path.mkdir()
    (home.path / "run").mkdir()
    env = [f"--setenv={name}={value}" for name, value in home.env.items()]
    process = subprocess.Popen([program, "-l", home.socket_path, *env, *RUN], stderr=subprocess.DEVNULL)
    try:
        wait_for(Path(home.socket_path).exists, what="the socket")
        status, _, body = exchange(home.socket_path, request("GET", "/health", []), timeout=20)
        assert (status, json.loads(body)["pid"]) == (200, process.pid)
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(20)
