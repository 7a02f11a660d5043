"""`jmem` in a real terminal: what one does there, an MCP client sees, and the other way round."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from bench.home import JMEM, Home, temporary_home, wait_gone
from bench.tmux import Terminal


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as made:
        made.start()
        made.jmem("add", "The kettle is descaled every March")
        yield made


@pytest.fixture
def terminal(home: Home) -> Iterator[Terminal]:
    with Terminal([JMEM], home.coloured) as made:
        made.see("The kettle", "live")
        yield made


async def asked(home: Home, tool: str, **arguments: Any) -> dict[str, Any]:
    """What the official client's tool call answers."""
    async with (
        streamable_http_client(home.mcp_url("claude")) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        await session.initialize()
        answer = await session.call_tool(tool, arguments)
        assert not answer.is_error, answer
        assert answer.structured_content is not None
        return answer.structured_content


async def contents(home: Home) -> list[str]:
    return [memory["content"] for memory in (await asked(home, "list_memories"))["memories"]]


async def test_what_is_done_in_the_terminal_an_mcp_client_sees(home: Home, terminal: Terminal) -> None:
    terminal.keys("C-n")
    terminal.see("New memory")
    terminal.type("Prefers tea to coffee")
    terminal.keys("C-s")
    terminal.until(lambda screen: "New memory" not in screen and "Prefers tea" in screen, "the new memory in the list")
    assert "Prefers tea to coffee" in await contents(home)

    terminal.type("tea or coffee")
    terminal.see("found")
    terminal.until(lambda screen: _first(screen).startswith("Prefers tea"), "it to be found first")
    terminal.keys("Enter")
    terminal.see("Edit")
    terminal.keys("e")
    terminal.see("^s Save")
    terminal.type("Mostly: ")
    terminal.see("Mostly: Prefers tea")
    terminal.keys("C-s")
    terminal.until(lambda screen: _first(screen).startswith("Mostly:"), "the edit in the list")
    assert "Mostly: Prefers tea to coffee" in await contents(home)

    terminal.keys("d")
    terminal.until(lambda screen: not _first(screen).startswith("Mostly:"), "it to be gone")
    assert await contents(home) == ["The kettle is descaled every March"]
    terminal.keys("u")
    terminal.until(lambda screen: _first(screen).startswith("Mostly:"), "it to be back")
    assert "Mostly: Prefers tea to coffee" in await contents(home)


async def test_what_an_mcp_client_writes_appears_while_one_looks(home: Home, terminal: Terminal) -> None:
    stored = await asked(home, "add_memories", text="Sings in a choir on Mondays")
    terminal.see("Sings in a choir", seconds=5)
    await asked(home, "delete_memories", memory_ids=[stored["memories"][0]["id"]])
    terminal.until(lambda screen: "Sings in a choir" not in screen, "it to be gone", 5)


def test_the_daemon_may_die_and_come_back(home: Home, terminal: Terminal) -> None:
    home.kill()
    terminal.see("stopped")
    home.jmem("add", "Written while the screen was alone")  # starts another daemon
    terminal.see("live", "Written while the screen was alone")


def test_the_terminal_may_shrink_to_nothing_and_back(terminal: Terminal) -> None:
    for columns, rows in ((20, 5), (1, 1), (300, 90), (40, 10), (80, 24)):
        terminal.resize(columns, rows)
    terminal.see("The kettle is descaled every March", "live", "Search")


def test_a_memory_cannot_speak_to_the_terminal(home: Home, terminal: Terminal) -> None:
    home.jmem("add", "evil \x1b]0;owned\x07 \x1b[2J\x1b[31m title \x9b31m")
    terminal.see("evil \\x1b]0;owned\\x07")
    assert terminal.title != "owned"


COLOUR = re.compile(r"\x1b\[(\d+;)*(3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")


def test_a_good_terminal_gets_colours(terminal: Terminal) -> None:
    assert COLOUR.search(terminal.screen(styled=True))


@pytest.mark.parametrize(
    "environ", [{"NO_COLOR": "1"}, {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["no colour", "no UTF-8"],
)  # fmt: skip
def test_a_poor_terminal_is_enough(home: Home, environ: dict[str, str]) -> None:
    home.jmem("add", "Café ☕ — naïve")
    with Terminal([JMEM], {**home.coloured, **environ}) as terminal:
        terminal.see("The kettle", "live")
        styled = terminal.screen(styled=True)
        if "NO_COLOR" in environ:
            assert not COLOUR.search(styled)
        else:
            assert styled.isascii()
            assert "Cafe ?" in terminal.screen()


def test_leaving_gives_the_terminal_back(home: Home) -> None:
    with Terminal(["bash", "--norc"], {**home.env, "PS1": "$ "}) as terminal:
        terminal.type(JMEM)
        terminal.keys("Enter")
        terminal.see("The kettle", "live")
        terminal.keys("C-q")
        terminal.until(lambda screen: "live" not in screen, "the interface to be gone")
        terminal.type("echo here again")
        terminal.keys("Enter")
        screen = terminal.see("here again")
        assert "Filters" not in screen
        assert "live" not in screen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["term", "hup"])
def test_a_signal_gives_the_terminal_back(home: Home, number: signal.Signals) -> None:
    command = f"{JMEM}; echo ended with $?; stty -a | grep -oE '.icanon'; sleep 100"
    with Terminal(["bash", "--norc", "-c", command], home.env) as terminal:
        terminal.see("The kettle", "live")
        children = f"/proc/{terminal.pid}/task/{terminal.pid}/children"
        with open(children) as file:  # noqa: PTH123
            os.kill(int(file.read().split()[0]), number)
        screen = terminal.see(f"ended with {128 + number}", "icanon")
        assert "-icanon" not in screen
        assert "The kettle" not in screen


def test_a_terminal_that_is_gone_leaves_nothing_behind(home: Home) -> None:
    terminal = Terminal([JMEM], home.env)
    try:
        terminal.see("The kettle", "live")
        pid = terminal.pid
    finally:
        terminal.close()
    wait_gone(pid, 10)


def test_a_paste_that_the_terminal_does_not_mark(home: Home, terminal: Terminal) -> None:
    """As tmux gives it, without `-p`: a key for each character."""
    text = "\n".join(f"Line {number} of a long text [that] one \\pastes" for number in range(700))
    buffer = home.path.parent / "buffer"
    buffer.write_text(text)
    terminal.keys("C-n")
    terminal.see("New memory")
    terminal.paste(str(buffer))
    terminal.see(f"{len(text):,} bytes", seconds=30)
    terminal.keys("C-s")
    terminal.until(lambda screen: "New memory" not in screen, "it to be saved")
    assert text in [memory["content"] for memory in home.json("list")["memories"]]


def _first(screen: str) -> str:
    """The first line of the list."""
    return screen.splitlines()[5].strip("│ ▌")


def test_an_editor_that_fails_gives_the_terminal_back(home: Home, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    env = {**home.env, "EDITOR": "false", "VISUAL": "", "TMPDIR": str(kept)}
    with Terminal([JMEM], env) as terminal:
        terminal.see("The kettle", "live")
        terminal.keys("Enter")
        terminal.see("Open")
        terminal.keys("E")
        terminal.see("false ended with code 1", "The kettle", "live")
        terminal.keys("a")
        terminal.see("New memory")
        terminal.type("still here")
        terminal.see("still here")
        assert not list(kept.glob("jmem-*"))
