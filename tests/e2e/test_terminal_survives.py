"""What the interface outlives, in a real terminal: a full disk, a read-only store, a restored backup, a slow line, a daemon
that dies under a moving list, hostile words in every field, and several that change one memory at the same moment."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from bench.fill import filled
from bench.home import JMEM, Home, temporary_home, wait_for
from bench.tmux import Terminal
from tests.e2e.test_disk import FACT, Small, fail_to_add, without_power_over_files
from tests.e2e.test_disk import small as small


def opened(home: Home, columns: int = 80, rows: int = 24) -> Terminal:
    return Terminal([JMEM], home.coloured, columns, rows)


def write(terminal: Terminal, text: str) -> None:
    terminal.keys("C-n")
    terminal.see("New memory")
    terminal.type(text)
    terminal.see(text[-30:])
    terminal.keys("C-s")


def contents(home: Home) -> list[str]:
    return [memory["content"] for memory in home.json("list")["memories"]]


MISSING = re.compile(r"│ +… +│")
"""A row of the list that was not read yet."""


def first(screen: str) -> str:
    """The first line of the list."""
    return screen.splitlines()[5].strip("│ ▌")


# ---- the disk


def test_a_full_disk_loses_nothing_that_is_written(small: Small) -> None:
    home = small.home
    home.json("add", FACT)
    home.indexed()
    with opened(home) as terminal:
        terminal.see(FACT, "live")
        with small.full():
            fail_to_add(home, 1)
            write(terminal, "Typed while there was no room")
            screen = terminal.see("Not saved", "disk")
            assert "Typed while there was no room" in screen
        terminal.keys("C-s")
        terminal.until(lambda screen: "New memory" not in screen and "Typed while" in screen, "it to be saved")
        terminal.see("live")
    assert "Typed while there was no room" in contents(home)


def test_a_read_only_store_is_read_and_says_why_it_takes_nothing(home: Home) -> None:
    home.json("add", FACT)
    home.indexed()
    home.stop()
    files = [*home.user_folder.glob("memories.db*"), home.user_folder]
    home.jmem("daemon", "start", before_exec=without_power_over_files)
    with contextlib.closing(home.api()) as api:
        api.search(FACT)  # with its files beside it: SQLite can't make them later
        for path in (*files, *home.user_folder.glob("memories.db*")):
            path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        home.kill()
        home.jmem("daemon", "start", before_exec=without_power_over_files, check=False)
        with opened(home) as terminal:
            screen = terminal.until(lambda screen: FACT in screen or "read-only" in screen, "it to say how it is")
            write(terminal, "This has no place to go")
            screen = terminal.see("Not saved", "read-only")
            assert "This has no place" in screen
            for path in (home.user_folder, *home.user_folder.glob("memories.db*")):
                path.chmod(0o700)
            home.kill()
            terminal.keys("C-s")
            terminal.until(
                lambda screen: "New memory" not in screen and "This has no place" in screen, "it to be saved"
            )
    finally:
        for path in (home.user_folder, *home.user_folder.glob("memories.db*")):
            path.chmod(0o700)
    assert "This has no place to go" in contents(home)


def test_a_backup_is_restored_while_it_is_open(home: Home) -> None:
    home.json("add", FACT)
    with contextlib.closing(home.api()) as api:
        path = api.must("POST", "/backup", {})["path"]
    home.json("add", "Written after the backup")
    with opened(home) as one, opened(home) as other:
        for terminal in (one, other):
            terminal.see(FACT, "Written after the backup", "live")
        other.keys("Enter", "e")
        other.see("^s Save")
        other.type("Begun before: ")
        other.see("Begun before")
        home.jmem("backup", "restore", path, "--yes")
        one.until(
            lambda screen: FACT in screen and "Written after" not in screen and "live" in screen, "the store of then"
        )
        other.keys("C-s")  # what it was begun from is not there any more
        other.see("Deleted meanwhile")
        other.keys("s")
        one.see("Begun before: Written after the backup", FACT)


# ---- the line


class SlowLine:
    """Stands in the place of the daemon's socket; what it gets it hands on later, both ways, as a line to a far machine."""

    def __init__(self, home: Home, delay_s: float) -> None:
        self.delay_s, self.path = delay_s, home.socket_path
        self._far = self.path + ".far"
        os.rename(self.path, self._far)  # noqa: PTH104
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(64)
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                self._ends += [near, far]
                far.connect(self._far)
                for source, target in ((near, far), (far, near)):
                    self._begin(self._carry, source, target)

    def _begin(self, target: Callable[..., None], *args: object) -> None:
        self._threads.append(threading.Thread(target=target, args=args))
        self._threads[-1].start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                time.sleep(self.delay_s)
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in (self._listener, *self._ends):
            end.close()
        os.replace(self._far, self.path)  # noqa: PTH105


def test_a_line_of_300_ms_freezes_no_key_and_the_newest_question_wins(home: Home) -> None:
    for text in ("The piano is tuned in May", "The kettle is descaled every March", FACT):
        home.jmem("add", text)
    home.start()
    home.indexed()
    home.jmem("search", "a question that waits for the model")
    with contextlib.closing(SlowLine(home, 0.15)), opened(home) as terminal:
        terminal.see("The piano", "live", "3 · newest first")
        repaints = [terminal.pressed(key, 0.02)[0] for key in "who tunes the kettle"]
        assert sorted(repaints)[len(repaints) * 9 // 10] < 150, repaints  # a round trip takes twice as long
        terminal.keys("C-u")
        terminal.type("piano tuned in may")
        asked = time.monotonic()
        terminal.until(lambda screen: first(screen).startswith("The piano"), "the newest question's answer")
        assert time.monotonic() - asked < 3
        deadline = time.monotonic() + 1.5  # the answers to the older ones come meanwhile
        while time.monotonic() < deadline:
            assert first(terminal.screen()).startswith("The piano")
            time.sleep(0.05)
        write(terminal, "Written over a slow line")
        terminal.until(
            lambda screen: "New memory" not in screen and "Written over a slow line" in screen, "it to be saved"
        )


def test_the_daemon_dies_while_the_list_moves() -> None:
    with temporary_home(filled(4_500, synthetic=True)) as home:
        home.start()
        with opened(home) as terminal:
            terminal.see("live", "4,500 · newest first")
            terminal.keys("Enter")
            for step in range(60):
                terminal.keys("NPage" if step % 7 else "End", *(("Home",) if step % 11 == 10 else ()))
                if step == 30:
                    home.kill()
            terminal.keys("End", "PPage", "PPage")
            terminal.see("live")
            screen = terminal.until(lambda screen: not MISSING.search(screen), "every row to be there")
            assert "Traceback" not in screen
            terminal.keys("Home", "a")
            terminal.see("New memory")
            terminal.type("written after all that")
            terminal.keys("C-s")
            terminal.until(
                lambda screen: "New memory" not in screen and "written after all" in screen, "it to be saved"
            )


# ---- words

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31m[red]x[/red] [@click=app.leave]y[/] \u202egnp.exe\u202c \x9b1m"


def test_hostile_words_in_every_field(home: Home) -> None:
    home.start()
    name = "a" * 60 + "-b.c"
    with contextlib.closing(home.api()) as api:
        fields = {"thread": f"thread {EVIL}", "speaker": f"speaker {EVIL}", "source": f"source {EVIL}"}
        tags = ["[red]tag", "tag" + EVIL[-28:], "t" * 60]
        api.add(f"first {EVIL} " + "word " * 30, tags=tags, client=name, **fields)
        api.add(f"first {EVIL} " + "word " * 31, tags=tags, client=name, **fields)
    home.indexed()
    home.jmem("connect", name, "--print")
    home.jmem("clients", "set", name, "--review", "--tag", "[red]tag")
    mcp = home.mcp(name)
    mcp.tool("search_memory", query=f"first {EVIL}")
    mcp.tool("add_memories", text=f"[bold]waits {EVIL}")
    mcp.close()
    with opened(home, 140, 40) as terminal:
        terminal.see("live", "first")
        for key, sign, leaves in (
            ("Enter", "Open", ""), ("f", "AS OF", ""), ("f", "⏎ Open", ""), ("Enter", "n Next", "n Next"),
            ("t", "On/off", "On/off"), ("h", "Bring back", "Bring back"), ("w", "Own too", "Own too"), ("e", "^s Save", "^s Save"),
            ("2", "Programs", ""), ("p", "Take back", ""), ("t", "Tags that", "Tags that"),
            ("x", "Leave it connected", "Leave it connected"), ("Enter", "only this", ""), ("3", "waits for you", ""),
            ("Y", "Approve all that", "Approve all that"), ("4", "alike", ""), ("b", "One memory of", "One memory of"),
            ("5", "runs since", ""), ("1", "Open", ""), ("d", "Deleted", ""), ("u", "Undone", ""),
        ):  # fmt: skip
            terminal.keys(key)
            screen = terminal.see(sign)
            assert "Traceback" not in screen
            assert terminal.title != "owned"
            if leaves:
                terminal.keys("Escape")
                terminal.until(lambda screen, leaves=leaves: leaves not in screen, f"{leaves!r} to be gone")  # type: ignore[misc]
            if leaves or key == "Escape":
                time.sleep(0.2)  # a terminal takes an Esc with what follows it for one key
        screen = terminal.see("[red]x[/red]", "[@click=app.leave]", "live")
        assert "\u202e" not in screen


# ---- several at once


async def test_several_change_one_memory_at_the_same_moment(home: Home, tmp_path: Path) -> None:
    home.start()
    id = home.json("add", "The meeting is at nine")["id"]
    editor, go = tmp_path / "editor", tmp_path / "go"
    editor.write_text(f'#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.05; done\necho "At ten, says vi" > "$1"\n')
    editor.chmod(0o700)
    outside = subprocess.Popen(
        [JMEM, "edit", id], env={**home.env, "VISUAL": str(editor), "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with opened(home) as one, opened(home) as other:
        wait_for(lambda: list(tmp_path.glob("jmem-*.md")), what="the file of `jmem edit`")
        for terminal, text in ((one, "One: "), (other, "Other: ")):
            terminal.see("The meeting", "live")
            terminal.keys("Enter", "e")
            terminal.see("^s Save")
            terminal.type(text)
            terminal.see(f"{text}The meeting is at nine")
        one.keys("C-s")
        one.until(lambda screen: "^s Save" not in screen and "One: The meeting" in screen, "the first to be saved")

        other.see("changed this memory just now")
        other.keys("C-s")  # the second sees the first
        other.see("Changed meanwhile", "- theirs", "One:", "Other:")
        go.touch()  # so does the editor that was opened on the first version
        _, said = outside.communicate(timeout=20)
        assert outside.returncode != 0
        assert "changed" in said
        assert [path.read_text() for path in tmp_path.glob("jmem-*.md")] == ["At ten, says vi\n"]  # its text is kept
        assert home.json("show", id)["content"] == "One: The meeting is at nine"

        other.keys("m")
        other.until(lambda screen: "theirs" not in screen and "Other: The meeting" in screen, "mine to be saved")
        one.see("Other: The meeting is at nine")
        assert home.json("show", id)["content"] == "Other: The meeting is at nine"

        one.keys("e")
        one.see("^s Save")
        one.type("Again: ")
        one.see("Again: Other")
        url = home.mcp_url("claude")
        async with streamable_http_client(url) as streams, ClientSession(streams[0], streams[1]) as session:
            await session.initialize()
            assert not (await session.call_tool("delete_memories", {"memory_ids": [id]})).is_error
        one.see("claude deleted this memory just now")
        one.keys("C-s")
        one.see("Deleted meanwhile")
        one.keys("s")
        other.see("Again: Other: The meeting is at nine")
    assert contents(home) == ["Again: Other: The meeting is at nine"]
