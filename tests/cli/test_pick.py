from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from .conftest import Jmem

PLAIN = {"NO_COLOR": "1"}


@pytest.fixture(scope="module")
def shelf(make_jmem: Callable[..., Jmem]) -> tuple[Jmem, list[str]]:
    jmem = make_jmem()
    return jmem, jmem.ok("add", "--lines", stdin="the oldest one\nabout seats on planes\nthe newest one\n").lines


def last_line(text: str) -> str:
    return text.rstrip("\n").rpartition("\n")[2].rpartition("\x1b[J")[2]


def test_enter_takes_the_newest(shelf) -> None:
    jmem, ids = shelf
    result = jmem.tty("pick", keys=b"\r", wait_for="the newest one", env=PLAIN)
    assert (result.code, last_line(result.out)) == (0, ids[2])


def test_arrows_move(shelf) -> None:
    jmem, ids = shelf
    result = jmem.tty("pick", keys=b"\x1b[B\x0e\x1b[A\r", wait_for="the newest one", env=PLAIN)
    assert (result.code, last_line(result.out)) == (0, ids[1])


def test_typing_searches(shelf) -> None:
    jmem, ids = shelf
    result = jmem.tty("pick", keys=b"xx\x15seatz\x7fs planes\r", wait_for="the newest one", env=PLAIN)
    assert (result.code, last_line(result.out)) == (0, ids[1])


def test_a_query_text_and_json(shelf) -> None:
    jmem, ids = shelf
    assert (
        last_line(jmem.tty("pick", "seats", "--text", keys=b"\r", wait_for="about seats", env=PLAIN).out)
        == "about seats on planes"
    )
    chosen = jmem.tty("pick", "seats", "--json", keys=b"\r", wait_for="about seats", env=PLAIN).out
    assert json.loads(chosen[chosen.rindex("\x1b[J") + 3 :])["id"] == ids[1]


@pytest.mark.parametrize("key", [b"\x1b", b"\x03"])
def test_leaving_chooses_nothing(key: bytes, shelf) -> None:
    jmem, _ = shelf
    result = jmem.tty("pick", keys=key, wait_for="the newest one", env=PLAIN)
    assert result.code == 130
    assert result.out.endswith("\x1b[J")


def test_without_a_terminal_it_is_a_usage_error(shelf) -> None:
    import subprocess

    from .conftest import command

    jmem, _ = shelf
    done = subprocess.run(
        [*command(), "pick"], capture_output=True, stdin=subprocess.DEVNULL, env=jmem.environ(), start_new_session=True
    )
    assert done.returncode == 2
    assert b"pick needs a terminal" in done.stderr
