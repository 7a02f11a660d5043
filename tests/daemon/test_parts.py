"""The parts that need no daemon: routes, keys, locks, logs, small files."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from daemon import api
from daemon.clients import Clients
from daemon.files import read_json, write_json
from daemon.http import Table
from daemon.keys import api_token, load_secret, mcp_key
from daemon.lock import FileLock, read_note
from daemon.logs import Log, RotatingFile
from jmem.core.errors import Conflict, Invalid, NotFound, StorageFailed
from jmem.core.redaction import redacted
from jmem.core.wire.asks import ListQuery
from jmem.core.wire.base import parse_query


def test_the_table_finds_routes_and_parameters() -> None:
    table = Table(api.groups())
    methods, params = table.find("/api/v1/memories/abc/history")
    assert (methods["GET"].path, params) == ("/api/v1/memories/{id}/history", {"id": "abc"})
    assert set(table.find("/api/v1/memories/batch")[0]) == {"POST"}
    for path in ("/api/v1/memories/", "/api/v1/memories//history", "/", "", "/api/v1/memories/a/b/c"):
        assert table.find(path) == ({}, {})
    paths = [(route.method, route.path) for route in table.routes]
    assert len(paths) == len(set(paths))


def test_query_strings_are_models() -> None:
    ask = parse_query(ListQuery, b"tag=a&tag=b+c&limit=5&deleted=true&source=x%20y")
    assert (ask.tag, ask.limit, ask.deleted, ask.source) == (("a", "b c"), 5, True, "x y")
    with pytest.raises(Invalid, match="twice"):
        parse_query(ListQuery, b"limit=5&limit=6")
    with pytest.raises(ValidationError):
        parse_query(ListQuery, b"limit=5x")
    with pytest.raises(Invalid, match="percent"):
        parse_query(ListQuery, b"source=%ff")


def test_keys_differ_by_user_client_and_generation(tmp_path: Path) -> None:
    secret = load_secret(tmp_path)
    assert load_secret(tmp_path) == secret
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    keys = {
        mcp_key(secret, user, client, generation)
        for user in ("u", "v")
        for client in ("a", "b")
        for generation in ("1", "2")
    }
    assert len(keys) == 8
    assert mcp_key(secret, "ab", "c", "1") != mcp_key(secret, "a", "bc", "1")
    assert mcp_key(os.urandom(32), "u", "a", "1") not in keys
    assert all([len(part) for part in key.split("-")] == [8, 4, 4, 4, 12] for key in keys)
    assert api_token(secret, "u") != api_token(secret, "v")
    (tmp_path / "secret").write_text("short")
    with pytest.raises(StorageFailed, match="damaged"):
        load_secret(tmp_path)


def test_a_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, os\nfrom pathlib import Path\nfrom daemon.lock import FileLock\n"
        "lock = FileLock.acquire(Path(sys.argv[1]), 'busy', {'pid': os.getpid()})\nprint('held', flush=True)\nsys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Conflict, match=f"busy \\(pid {holder.pid}"):
        FileLock.acquire(path, "busy", {})
    holder.kill()
    holder.communicate()
    lock = FileLock.acquire(path, "busy", {"pid": 1})
    assert read_note(path) == {"pid": 1}
    lock.write({"pid": 1, "stopping": True})
    timer = threading.Timer(0.2, lock.release)
    timer.start()
    FileLock.acquire(path, "busy", {"pid": 2}).release()
    timer.join()


def test_a_lock_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed):
        FileLock.acquire(tmp_path / "no" / "lock", "busy", {})


def test_small_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    assert read_json(path) is None
    write_json(path, {"a": "ü"})
    assert read_json(path) == {"a": "ü"}
    assert [p.name for p in tmp_path.iterdir()] == ["small.json"]
    for text in ("[1]", "{", ""):
        path.write_text(text)
        with pytest.raises(StorageFailed, match="damaged"):
            read_json(path)
    with pytest.raises(StorageFailed):
        write_json(tmp_path / "no" / "small.json", {})


def test_clients_change_on_disk_first(tmp_path: Path) -> None:
    changes: list[int] = []
    clients = Clients(tmp_path, lambda: changes.append(1))
    assert clients.connect("claude").generation == 1
    assert clients.connect("claude").generation == 1
    assert clients.connect("claude", rotate=True).generation == 2
    clients.change("claude", {"write": False, "tags": ["work", "work"]})
    clients.revoke("claude")
    assert len(changes) == 4
    again = Clients(tmp_path).get("claude")
    assert (again.write, again.tags, again.revoked, again.generation) == (False, ("work",), True, 2)
    assert again.actor.tags == ("work",)
    assert clients.connect("claude").generation == 3
    with pytest.raises(NotFound):
        clients.change("cursor", {"read": False})
    with pytest.raises(Invalid):
        clients.connect("../etc")


def test_the_log_rotates_by_size(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "x.log", keep=3, max_bytes=100)
    for n in range(40):
        file.write(b"line %02d ........\n" % n)
    file.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["x.log", "x.log.1", "x.log.2"]
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    assert (tmp_path / "x.log").read_bytes().endswith(b"line 39 ........\n")


def test_the_log_survives_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    RotatingFile(tmp_path / "no" / "x.log").write(b"lost\n")


@pytest.mark.parametrize(("text", "secret"), [
    ("GET /mcp/claude/http/0a1b2c3d-aaaa-bbbb-cccc-0123456789ab HTTP/1.1", "0a1b2c3d"),
    ('{"path":"/mcp/x/sse/0a1b2c3d-aaaa/messages"}', "0a1b2c3d"),
    ("Authorization: Bearer jmem_0123456789abcdef", "0123456789abcdef"),
    ("openai said: bad key sk-abcdefghijklmnop", "abcdefghijklmnop"),
])  # fmt: skip
def test_keys_and_tokens_are_taken_out_of_the_log(text: str, secret: str) -> None:
    assert secret not in redacted(text)
    assert redacted("nothing to hide") == "nothing to hide"


def test_the_log_is_json_and_quotes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        log = Log(path, "info")
        part = log.bind("test")
        try:
            raise ValueError("the content of a memory")
        except ValueError as error:
            part.error("failed", exc_info=error)
        part.debug("below the level")
        logging.getLogger("some.library").warning("talks of /mcp/claude/http/0a1b2c3d-aaaa-bbbb-cccc-0123456789ab")
        log.close()
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(False)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["event"] == "failed"
    assert lines[0]["error"] == "ValueError"
    assert any("test_parts.py" in frame for frame in lines[0]["traceback"])
    assert "content of a memory" not in path.read_text()
    assert "0a1b2c3d" not in path.read_text()
    assert lines[1]["logger"] == "some.library"
    assert len(lines) == 2
