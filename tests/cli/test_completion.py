"""What the shell offers after a Tab."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from jmem.core.settings import SETTINGS

from .conftest import Jmem


def tab(jmem: Jmem, line: str) -> list[str]:
    """The words that bash would offer at the end of a line."""
    words = line.split(" ")
    env = {"_JMEM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    result = jmem.ok(env=env)
    assert result.err == ""
    return [word for word in result.lines if word]


@pytest.mark.parametrize("command", ["rm", "show", "edit", "tag", "diff", "log"])
def test_recent_ids(command: str, jmem: Jmem) -> None:
    apart = jmem.apart()
    ids = apart.ok("add", "--lines", stdin="one to complete\nanother\n").lines
    assert sorted(tab(apart, f"jmem {command} ")) == sorted(id[-6:] for id in ids)
    assert ids[0][-6:] in tab(apart, f"jmem {command} {ids[0][-6:-3]}")
    shown = apart.ok(env={"_JMEM_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"jmem {command} "}).out
    assert "one to complete" in shown


def test_deleted_ids_names_and_settings(jmem: Jmem) -> None:
    apart = jmem.apart()
    id = apart.ok("add", "to be restored").out.strip()
    apart.ok("rm", id)
    assert tab(apart, "jmem restore ") == [id[-6:]]
    assert tab(apart, "jmem rm ") == []
    apart.ok("import", "-", "--from", "jsonl", "--json", stdin='{"content":"waits","state":"review"}\n')
    (waits,) = (line.split("\t")[0] for line in apart.ok("review").lines)
    for word in ("approve", "reject"):
        assert tab(apart, f"jmem review {word} ") == [waits[-6:]]
    apart.ok("add", "with a tag", "-t", "travel", "-c", "travel-agent")
    for line in ("add -t", "list --tag", "search x --tag", "clients set a --tag", "sync rules --keep-tag"):
        assert tab(apart, f"jmem {line} tr") == ["travel"]
    for line in ("clients set", "log -c", "list --client", "undo --client", "sync rules --keep-client", "why"):
        assert tab(apart, f"jmem {line} tr") == ["travel-agent"]
    assert tab(apart, "jmem connect cu") == ["cursor"]
    assert "claude" in tab(apart, "jmem disconnect ")
    for word in ("get", "set", "unset"):
        assert tab(apart, f"jmem config {word} ") == [setting.key for setting in SETTINGS]


ATTACKS = (
    r"a\$(touch PWNED)",
    r"a\`touch PWNED`",
    'a";touch PWNED;"',
    "a';touch PWNED;'",
    "a\\",
    "a$(touch PWNED)",
    "a;b",
    "a b",
)


def test_no_shell_runs_what_stands_in_a_memory(jmem: Jmem, tmp_path: Path) -> None:
    apart = jmem.apart()
    for attack in ATTACKS:
        apart.ok("add", attack.replace("PWNED", str(tmp_path / "pwned")), "-t", attack)
    assert tab(apart, "jmem list --tag a") == []
    env = {"_JMEM_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "jmem show "}
    said = apart.ok(env=env).out
    assert said.count("touch") == len([attack for attack in ATTACKS if "PWNED" in attack])
    assert not set("\\$`") & set(said.replace("\\\\:", ""))
    assert said.count("'") == 2, "only those of typer"
    quotes = '"'
    assert all(line.count(quotes) == 4 for line in said.splitlines())
    if zsh := shutil.which("zsh"):
        # as zsh's own _arguments does with such a list
        script = '_arguments() { local action="${1#*: :}"; eval ws\\=\\( "${action[3,-3]}" \\); print -r -- $#ws; }; eval "$SAID"'
        done = subprocess.run([zsh, "-f", "-c", script], env={"SAID": said}, capture_output=True, text=True, check=True)
        assert done.stdout == f"{len(ATTACKS)}\n"
    assert not (tmp_path / "pwned").exists()


def test_completion_starts_nothing(tmp_path: Path) -> None:
    assert tab(Jmem(tmp_path / "home"), "jmem rm ") == []
    assert not (tmp_path / "home").exists()
