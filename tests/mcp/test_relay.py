"""`jmem mcp`, as the program that started it sees it: lines in, lines out, nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from bench.home import JMEM, Home, temporary_home, wait_gone
from tests.mcp.raw import HELLO, Lines

COMMAND = [JMEM, "mcp", "--client", "claude"]


def run(home: Home, *lines: bytes, command: list[str] | None = None) -> list[dict[str, object]]:
    """What the relay answers to these lines and the end of its input."""
    done = subprocess.run(
        command or COMMAND, input=b"\n".join(lines) + b"\n", env=home.env, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


def message(id: object, method: str, **params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).encode()


def test_every_request_is_answered_before_the_end(home: Home) -> None:
    requests = [message(number, "tools/list") for number in range(40)]
    answers = run(home, message("first", "initialize", **HELLO), *requests)
    assert answers[0]["id"] == "first"
    assert sorted(answer["id"] for answer in answers[1:]) == list(range(40))  # type: ignore[type-var]


def test_a_program_is_among_the_clients_from_its_first_message_on(home: Home) -> None:
    command = [JMEM, "mcp", "--client", "newcomer"]
    call = {"name": "search_memory", "arguments": {"query": "anything"}}
    before = _searches(home)
    assert "newcomer" not in {client["name"] for client in home.json("clients")["clients"]}
    run(home, message(1, "tools/call", **call), command=command)
    (met,) = (client for client in home.json("clients")["clients"] if client["name"] == "newcomer")
    assert (met["read"], met["write"], met["delete"], met["tags"], met["revoked"]) == (True, True, True, None, False)
    assert met["last_seen"] >= met["connected_at"]
    assert _searches(home) == before + 1
    home.jmem("disconnect", "newcomer", "--yes")
    (refused,) = run(home, message(1, "tools/call", **call), command=command)
    assert "disconnected" in str(refused)
    (revoked,) = (client for client in home.json("clients", "--revoked")["clients"] if client["name"] == "newcomer")
    assert revoked["revoked"]


def _searches(home: Home) -> float:
    """How many searches the metrics count."""
    with contextlib.closing(home.api()) as api:
        lines = api.call("GET", "/metrics").raw.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("jmem_search_seconds_count"))


def test_bad_lines_are_answered_and_the_rest_goes_on(home: Home) -> None:
    answers = run(
        home, b"not json", b'{"id":', b"[]", b"", b"   ", b'"x"', b"\xff\xfe", b"[" * 100_000, message(1, "ping")
    )
    codes = [answer["error"]["code"] for answer in answers if "error" in answer]  # type: ignore[index]
    assert sorted(codes) == [-32700, -32700, -32700, -32700, -32600, -32600]
    assert [answer["id"] for answer in answers if "result" in answer] == [1]


def test_notifications_and_answers_get_no_line(home: Home) -> None:
    notifications = [
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}',
        b'{"jsonrpc":"2.0","id":9,"result":{}}',
    ]
    assert [answer["id"] for answer in run(home, *notifications, message(1, "ping"))] == [1]


def test_a_slow_request_holds_nobody_up(home: Home) -> None:
    """The answer to a small request overtakes one of eight megabytes that is still on its way in."""
    with Lines(COMMAND, home.env) as lines:
        lines.ask("initialize", HELLO)
        lines.write(
            message("large", "tools/call", name="add_memories", arguments={"text": "x" * (8 * 1024 * 1024 - 4096)})
        )
        lines.write(message("small", "ping"))
        answers = {answer["id"]: answer for answer in (lines.next(), lines.next())}
    assert answers["small"]["result"] == {}
    assert "65,536" in answers["large"]["result"]["content"][0]["text"]


def test_what_is_too_large_is_refused_with_its_id(home: Home) -> None:
    huge = message("huge", "tools/call", name="add_memories", arguments={"text": "x" * (9 * 1024 * 1024)})
    (answer,) = run(home, huge)
    assert answer["id"] == "huge"
    assert "at most" in json.dumps(answer)


def test_it_starts_the_daemon_and_says_nothing_of_it() -> None:
    with temporary_home() as home:
        answers = run(home, message(1, "initialize", **HELLO), message(2, "tools/list"))
        assert [answer["id"] for answer in answers] == [1, 2]
        assert home.pid


def test_when_no_daemon_can_be_started_the_client_is_told() -> None:
    with temporary_home() as home:
        home.path.parent.mkdir(exist_ok=True)
        home.path.write_text("a file where the home should be")
        answers = run(
            home, message(1, "initialize", **HELLO), message(2, "tools/call", name="search_memory", arguments={})
        )
        assert answers[0]["error"]["code"] == -32603  # type: ignore[index]
        assert answers[1]["result"]["isError"] is True  # type: ignore[index]
        home.path.unlink()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_quietly(home: Home, number: signal.Signals) -> None:
    with Lines(COMMAND, home.env) as lines:
        lines.ask("initialize", HELLO)
        lines.process.send_signal(number)
        assert lines.process.wait(timeout=10) == 0
        assert lines.output.get(timeout=10) is None
        assert lines.process.stderr is not None
        assert lines.process.stderr.read() == b""


def test_it_ends_when_nobody_reads_its_answers(home: Home) -> None:
    with Lines(COMMAND, home.env) as lines:
        lines.ask("initialize", HELLO)
        os.close(os.dup(lines.process.stdout.fileno()))  # type: ignore[union-attr]
        assert lines.end() == 0


def test_another_user_is_another_memory(home: Home) -> None:
    command = [*COMMAND, "--user", "bob"]
    with Lines(command, home.env) as lines:
        lines.ask("initialize", HELLO)
        assert lines.tool("search_memory", query="anything at all")["structuredContent"]["memories"] == []
        lines.tool("add_memories", text="Bob collects stamps")
    with Lines(COMMAND, home.env) as lines:
        lines.ask("initialize", HELLO)
        mine = lines.tool("search_memory", query="who collects stamps")["structuredContent"]["memories"]
    assert all("stamps" not in memory["content"] for memory in mine)
    assert home.json("--user", "bob", "list")["memories"][0]["content"] == "Bob collects stamps"


def test_a_disconnected_client_is_told_how_to_come_back(home: Home) -> None:
    home.json("connect", "windsurf", "--print")
    home.jmem("disconnect", "windsurf", "--yes", check=False)
    (answer,) = run(home, message(1, "initialize", **HELLO), command=[JMEM, "mcp", "--client", "windsurf"])
    assert "jmem connect windsurf" in answer["error"]["message"]  # type: ignore[index]


def test_the_first_answer_comes_fast(home: Home) -> None:
    """A warm daemon; the best of a few, against the bare interpreter in the same moments."""
    run(home, message(1, "initialize", **HELLO))
    relay, bare = [], []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True, env=home.env)
        bare.append(time.perf_counter() - began)
        began = time.perf_counter()
        with Lines(COMMAND, home.env) as lines:
            lines.send(json.loads(message(1, "initialize", **HELLO)))
            lines.next()
            relay.append(time.perf_counter() - began)
    assert min(relay) < max(0.1, 6 * min(bare)), (min(relay), min(bare))


def test_it_imports_next_to_nothing() -> None:
    code = "import sys, jmem.cli.commands.mcp; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(
        subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert loaded.isdisjoint(
        {"mcp", "fastapi", "starlette", "pydantic", "typer", "rich", "http", "asyncio", "json", "numpy"}
    )


def test_a_stopped_daemon_is_gone_before_the_next_line(home: Home) -> None:
    with Lines(COMMAND, home.env) as lines:
        lines.ask("initialize", HELLO)
        pid = home.pid
        assert pid
        home.jmem("daemon", "stop")
        wait_gone(pid)
        assert len(lines.ask("tools/list")["tools"]) == 4
