"""What people and pipes see, line by line. `JMEM_GOLDEN=write pytest tests/cli/test_golden.py` writes the files anew."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Jmem

FOLDER = Path(__file__).parent / "golden"
TEXTS = (
    ["I prefer aisle seats on long flights, and never the last row", "-t", "travel", "-t", "seats"],
    ["Usually flies from Logan and wants to be at the airport two hours before departure, since the security line there was once "
     "an hour and ten minutes long", "-t", "travel", "--client", "claude", "--source", "notes/flights.md", "--at", "2024-11-01"],
    ["日本語のメモ：座席は通路側が好き、窓側は苦手。長いフライトでは特に。", "-t", "日本", "--thread", "チャット", "--at", "2024-03-04"],
    ["evil \x1b[31mred\x1b[0m \x07bell \x9b1m \u202etxt.exe", "-t", "a\u202eb"],
    ["Packing list:\n- passport\n- charger\t(USB-C)\n- book", "-m", "bag=blue", "-m", '{"weight":{"kg":7}}'],
    ["👩‍👩‍👧 family trip to 🇩🇪 in May; café au lait every morning", "--speaker", "Mia", "--at", "2024-05-06", "--expires", "2099-01-01"],
    ["The wifi at the cabin is called Otter", "--local"],
)  # fmt: skip


@pytest.fixture(scope="module")
def shelf(make_jmem: Callable[..., Jmem]) -> tuple[Jmem, list[str]]:
    jmem = make_jmem(NO_COLOR="1")
    ids = [json.loads(jmem.ok("add", "--json", *words).out)["id"] for words in TEXTS]
    jmem.ok("edit", ids[6], "The wifi at the cabin is called Otter, the password is on the fridge")
    jmem.ok("tag", ids[6], "+cabin", "+home")
    gone = jmem.ok("add", "a memory to forget").out.strip()
    jmem.ok("rm", gone)
    return jmem, [*ids, gone]


def steady(text: str, ids: list[str]) -> str:
    """The text with what differs from run to run replaced by something as wide."""
    for number, id in enumerate(ids, start=1):
        text = text.replace(id, f"00000000-0000-7000-8000-{number:012d}")
        text = re.sub(rf"(?<![0-9a-f]){id[-6:]}(?![0-9a-f])", f"{number:06d}", text)
    text = re.sub(r"\b[0-9a-f]{12}-[0-9a-f]{4}-[0-9a-f]{8}\b", "0" * 12 + "-0000-00000000", text)
    text = re.sub(r"\b202[6-9]-\d\d-\d\dT[\d:.]+Z", "2026-01-01T00:00:00.000Z", text)
    text = re.sub(r"\b202[6-9]-\d\d-\d\d \d\d:\d\d \([^)]*\)", "2026-01-01 00:00 (now)", text)
    text = re.sub(r"(2\d{3}-\d\d-\d\d(?: \d\d:\d\d)?) \((in )?\d+y( ago)?\)", r"\1 (years)", text)
    text = re.sub(r"(?m) (now| \d[mhd]| \dy|\d{2}[mh])(?=(\x1b\[0m)?$)", " AGE", text)
    text = re.sub(r"(?m)^ ?(now| \dm)  (?=add|edit|tag|delete)", " AGE  ", text)
    text = re.sub(r"(?m)^(. +\d+  ) ?(now| \dm)", r"\1 AGE", text)
    text = re.sub(r"--cursor [\w=-]+(\n[\w=-]{1,60}$)?", "--cursor CURSOR", text)
    return re.sub(r'"took_ms":[\d.]+', '"took_ms":0', text)


def check(name: str, text: str) -> None:
    path = FOLDER / f"{name}.txt"
    if os.environ.get("JMEM_GOLDEN") == "write":
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    assert text == path.read_text(encoding="utf-8"), name


SEARCH = ["search", "which seat on flights", "-n", "3", "--mode", "text"]
VIEWS = {
    "list": ["list"],
    "list-page": ["list", "-n", "2"],
    "search": SEARCH,
    "log": ["log", "-n", "4"],
    "log-id": ["log", "ID7"],
    "diff": ["diff", "ID7"],
    "show": ["show", "ID5"],
    "show-unicode": ["show", "ID6"],
    "show-evil": ["show", "ID4"],
    "show-local": ["show", "ID7"],
    "deleted": ["list", "--deleted"],
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("columns", [80, 140])
def test_on_a_terminal(name: str, columns: int, shelf: tuple[Jmem, list[str]]) -> None:
    jmem, ids = shelf
    argv = [ids[int(word[2:]) - 1] if word.startswith("ID") else word for word in VIEWS[name]]
    result = jmem.tty(*argv, columns=columns)
    assert result.code == 0
    assert not [c for c in result.out if ord(c) < 32 and c != "\n"], "control characters reach the terminal"
    check(f"tty-{columns}-{name}", steady(result.out, ids))


@pytest.mark.parametrize("name", VIEWS)
def test_in_a_pipe(name: str, shelf: tuple[Jmem, list[str]]) -> None:
    jmem, ids = shelf
    argv = [ids[int(word[2:]) - 1] if word.startswith("ID") else word for word in VIEWS[name]]
    result = jmem.ok(*argv)
    assert jmem.typer(*argv) == result
    assert not [c for c in result.out if ord(c) < 32 and c not in "\n\t"]
    check(f"pipe-{name}", steady(result.out, ids))


@pytest.mark.parametrize("name", ["list", "log", "log-id", "diff", "show-evil"])
def test_as_json(name: str, shelf: tuple[Jmem, list[str]]) -> None:
    jmem, ids = shelf
    argv = [ids[int(word[2:]) - 1] if word.startswith("ID") else word for word in VIEWS[name]]
    result = jmem.ok(*argv, "--json")
    assert jmem.typer(*argv, "--json") == result
    assert result.out.count("\n") == 1
    on_terminal = jmem.tty(*argv, "--json").out
    assert json.loads(on_terminal) == json.loads(result.out)
    assert on_terminal.count("\n") > 3, "indented for people"
    assert not [c for c in on_terminal if (ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e") and c != "\n"]
    shape = json.dumps(json.loads(steady(result.out, ids)), ensure_ascii=False, indent=1, sort_keys=True)
    check(f"json-{name}", re.sub(r'"next_cursor": "[^"]*"', '"next_cursor": "CURSOR"', shape) + "\n")


def test_colours(shelf: tuple[Jmem, list[str]]) -> None:
    jmem, ids = shelf
    env = {"NO_COLOR": ""}
    check("color-list", steady(jmem.tty("list", "-n", "3", env=env).out, ids))
    check("color-search", steady(jmem.tty(*SEARCH, env=env).out, ids))
    check("color-diff", steady(jmem.tty("diff", ids[6], env=env).out, ids))
    assert "\x1b" not in jmem.tty("list", env={"NO_COLOR": "", "TERM": "dumb"}).out
    assert "\x1b" not in jmem.ok("list", env={"NO_COLOR": "", "FORCE_COLOR": "1"}).out, "rows in a pipe are data"
    assert "\x1b[31m" in jmem.ok("diff", ids[6], env={"NO_COLOR": "", "FORCE_COLOR": "1"}).out


@pytest.mark.parametrize("columns", [20, 40])
def test_narrow_terminals(columns: int, shelf: tuple[Jmem, list[str]]) -> None:
    jmem, ids = shelf
    for argv in (["list"], ["log"], SEARCH, ["show", ids[1]]):
        assert jmem.tty(*argv, columns=columns).code == 0


def test_both_paths_fail_alike(shelf: tuple[Jmem, list[str]]) -> None:
    jmem, ids = shelf
    for argv in (
        ["show", "ffffffff"],
        ["search", ""],
        ["show", "ffffffff", "--json"],
        ["list", "--cursor", "x"],
        ["show", ids[0][:4]],
    ):
        assert jmem(*argv) == jmem.typer(*argv)
        assert jmem(*argv).code in (2, 5)
