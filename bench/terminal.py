"""The terminal interface at 100,000 memories, through a real terminal: how soon it stands, and how soon it follows a key."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from bench import floor, text
from bench.fill import filled
from bench.footprint import use_of, uss_mb
from bench.harness import Options, Row, Sample, below, info, interleaved, main
from bench.home import JMEM, Home, temporary_home
from bench.tmux import Terminal

SIGN = b"Filters"
"""Drawn with the first whole screen."""
MISSING = re.compile(r"│ +… +│")
"""A row of the list that is not read yet."""
QUIET_S = 0.35
"""Without output, after which everything that follows a key has followed."""


def visible(home: Home) -> float:
    """Milliseconds from starting `jmem` until its first screen is written to the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    environ = {**home.coloured, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    start = time.perf_counter()
    process = subprocess.Popen([JMEM], stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True)
    os.close(theirs)
    seen = b""
    try:
        while SIGN not in seen:
            if not select.select([ours], [], [], 20)[0]:
                raise TimeoutError(f"no screen after 20 s: {seen[-300:]!r}")
            seen += os.read(ours, 65536)
        return (time.perf_counter() - start) * 1000
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def typed(terminal: Terminal, keys: int) -> tuple[Sample, Sample]:
    """Milliseconds from a key to the first repaint, and to the last one that it causes: the results and the preview."""
    repaints: list[float] = []
    results: list[float] = []
    for question in text.questions(keys, seed=301):
        for character in question[: 12 + len(repaints) % 20]:
            first, last = terminal.pressed("Space" if character == " " else character, QUIET_S)
            repaints.append(first)
            results.append(last)
            if len(repaints) == keys:
                return Sample(tuple(repaints)), Sample(tuple(results))
        terminal.keys("C-u")
        time.sleep(0.5)
    raise AssertionError("too few questions")


def long_session(terminal: Terminal, rounds: int) -> tuple[float, float]:
    """Private MB early in a session and after so many more openings and searches."""
    early = 0.0
    questions = text.questions(rounds, seed=302)
    for number, question in enumerate(questions):
        terminal.keys("/")
        terminal.keys("C-u")
        terminal.type(question[:24])
        terminal.keys("Enter")
        for _ in range(2):
            terminal.keys("Down", "Enter")
            terminal.see("n Next", seconds=30)
            terminal.keys("Escape")
            terminal.until(lambda screen: "n Next" not in screen, "the list", 30)
            time.sleep(0.15)  # an Esc and what follows it at once would be one key
        if number == rounds // 4:
            early = uss_mb(terminal.pid)
    return early, uss_mb(terminal.pid)


def dying(home: Home, terminal: Terminal) -> float:
    """Milliseconds from the death of the daemon under a moving list until every row on the screen is there again."""
    terminal.keys("/")
    terminal.keys("C-u")
    terminal.see("newest first")
    terminal.keys("Enter")
    for step in range(30):
        terminal.keys("End" if step % 5 else "NPage")
        if step == 15:
            home.kill()
            start = time.perf_counter()
    terminal.keys("Home", "NPage")  # what is asked for starts a daemon
    terminal.until(
        lambda screen: bool(home.pid) and "live" in screen and not MISSING.search(screen),
        "the list to be there again",
        60,
    )
    return (time.perf_counter() - start) * 1000


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    size = 10_000 if options.quick else 100_000
    keys = 60 if options.quick else 200
    with temporary_home(filled(size, synthetic=True)) as home:
        home.start()
        home.jmem("search", "a question that waits for the model")
        bare, shown = interleaved(
            5 if options.quick else 15,
            [lambda n: floor.run(floor.BARE_PYTHON, home.env), lambda n: visible(home)],
        )
        with Terminal([JMEM], home.coloured, 140, 40) as terminal:
            terminal.see("newest first")
            repaint, fresh = typed(terminal, keys)
            terminal.keys("C-u")
            terminal.see("newest first")
            time.sleep(2)
            seconds = 5 if options.quick else 20
            idle = use_of(terminal.pid, seconds)
            memory = uss_mb(terminal.pid)
            terminal.keys("Enter")
            terminal.see("Open")
            terminal.pressed("End", 0.5)
            first, scrolled = (Sample(tuple(moments)) for moments in zip(
                *(terminal.pressed(key, 0.2) for key in ("PageUp",) * 20), strict=True,
            ))  # fmt: skip
            after = uss_mb(terminal.pid)
            early, late = long_session(terminal, 60 if options.quick else 500)
            again = dying(home, terminal)
    return [
        below("the interface stands", shown.p50, "ms", 400, spread=shown.spread),
        info("the same beside python -c pass", shown.p50, "ms", floor=bare.p50),
        below("key to repaint, p95", repaint.quantile(0.95), "ms", 50, spread=repaint.spread),
        below(f"key to fresh results at {size:,}, p95", fresh.quantile(0.95), "ms", 150, spread=fresh.spread),
        below("a page up at the end of the list, p95", scrolled.quantile(0.95), "ms", 150, spread=first.spread),
        below("private memory", memory, "MB", 120),
        below("private memory after scrolling", after, "MB", 120),
        below("private memory after 500 searches and 1,000 openings", late, "MB", 120),
        below("of that since a quarter of them", late - early, "MB", 6),
        info("a daemon killed under the moving list: whole again", again, "ms"),
        below("CPU while nothing happens, a second", idle.cpu_ms / seconds, "ms", 5),
    ]


if __name__ == "__main__":
    main("terminal", "The terminal interface (floor: python -c pass)", bench)
