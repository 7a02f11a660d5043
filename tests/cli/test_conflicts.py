"""`jmem conflicts`: the list in every form, and each way to settle one; `jmem sync verify` without an account."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jmem.core.model import Op, new_nonce
from tests.cli.conftest import Jmem

LIVE, KEPT = "Deploys run on Mondays", "Deploys run on Tuesdays"


@pytest.fixture
def own(jmem: Jmem) -> Jmem:
    """A user with nothing in it."""
    return jmem.apart()


@pytest.fixture
def apart(own: Jmem, tmp_path: Path) -> str:
    """The id of a memory whose text was changed here and, as an import with its history tells, elsewhere."""
    id = own.ok("add", "Deploys run").out.strip()
    (line,) = [one for one in own.ok("export").lines if id in one]
    record = json.loads(line)
    first = record["ops"][0]["stamp"]
    other = Op(first[:-8] + "ffffffff", id, {"content": KEPT}, (first,), "claude", new_nonce()).sealed()
    own.ok("edit", id, LIVE)
    record["ops"].append(json.loads(other.text()))
    file = tmp_path / "elsewhere.jsonl"
    file.write_text(json.dumps(record) + "\n")
    own.ok("import", str(file))
    return id


def test_the_list(own: Jmem, apart: str) -> None:
    rows = [line.split("\t") for line in own.ok("conflicts").lines]
    assert [[row[0], row[1], row[2], *row[4:]] for row in rows] == [
        [apart, "1", "live", "cli", "this machine", LIVE], [apart, "2", "kept", "claude", "imported", KEPT],
    ]  # fmt: skip
    (conflict,) = json.loads(own.ok("conflicts", "--json").out)["conflicts"]
    assert [version["content"] for version in conflict["versions"]] == [LIVE, KEPT]
    assert [json.loads(line)["memory"]["id"] for line in own.ok("conflicts", "--of", apart[-6:], "--jsonl").lines] == [
        apart
    ]
    screen = own.tty("conflicts", env={"NO_COLOR": "1"}).out
    assert "1 live · cli" in screen
    assert "2 kept · claude" in screen
    assert re.search(r"this machine +│ imported", screen)


@pytest.mark.parametrize(
    ("how", "left"),
    [(("keep", "1"), {LIVE}), (("keep", "2"), {KEPT}), (("keep", "--both"), {LIVE, KEPT}), (("edit", "--text", "Any day"), {"Any day"})],
)  # fmt: skip
def test_settled_and_undone(own: Jmem, apart: str, how: tuple[str, ...], left: set[str]) -> None:
    own.ok("conflicts", how[0], apart, *how[1:])
    assert {memory["content"] for memory in map(json.loads, own.ok("list", "--jsonl").lines)} == left
    assert own.ok("conflicts").lines == []
    own.ok("undo")
    assert [json.loads(line)["content"] for line in own.ok("list", "--jsonl").lines] == [LIVE]


def test_what_does_not_fit(own: Jmem, apart: str) -> None:
    assert own("conflicts", "keep", apart).code == 2
    assert own("conflicts", "keep", apart, "3").code == 5
    assert own("conflicts", "keep", "ffffffff", "1").code == 5
    own.ok("conflicts", "keep", apart, "1")
    assert own("conflicts", "keep", apart, "1").code == 5
    assert own("conflicts", "--of", apart).code == 5


def test_nothing_is_compared_without_an_account(own: Jmem) -> None:
    own.ok("add", "something")
    assert own("sync", "verify").code == 4
