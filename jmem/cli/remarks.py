"""What commands have to say beside memories."""

from __future__ import annotations

from jmem.cli.text import cut, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from jmem.cli.output import Output

_PREVIEW = 80


def loss(out: Output, answer: Mapping[str, Any]) -> None:
    """Say that the store seems to be lost, where the answer does and no JSON document holds it."""
    if answer.get("warning") and (out.lines or not out.json):
        out.warn(str(answer["warning"]))


def resembles(out: Output, near: Sequence[Mapping[str, Any]]) -> None:
    """Name the memories that resemble what was stored, on stderr."""
    for one in near:
        out.note(f"resembles {one['id'][-6:]}  " + cut(one_line(" ".join(one["content"].split())), _PREVIEW))


def not_taken(out: Output, memory: Mapping[str, Any], fields: Mapping[str, Any], where: str = "") -> None:
    """Say which of the fields of an equal memory stayed as they were, and how to change them; `where` goes before it."""
    id = memory["id"][-6:]
    out.warn(f"{where}not taken over, since the memory was there before: {_names(memory['differs'])}")
    changes = [change for name in memory["differs"] if (change := _change(name, fields))]
    new = sorted(set(fields.get("tags", ())) - set(memory["tags"]))
    if changes:
        out.write_error(f"  fix: jmem edit {id} {' '.join(changes)}\n")
    if new:
        out.write_error(one_line(f"  fix: jmem tag {id} " + " ".join(_quoted("+" + tag) for tag in new)) + "\n")


def _names(differs: Sequence[str]) -> str:
    shown = [name.removesuffix("_at").replace("occurred", "time").replace("expires", "expiry") for name in differs]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _change(name: str, fields: Mapping[str, Any]) -> str:
    """The option of `jmem edit` that would take the field over."""
    value = fields.get(name)
    if value is None:
        return ""
    if name == "privacy":
        return f"--{value}"
    options = {"occurred_at": "--at", "expires_at": "--expires"}
    if name in ("source", "thread", "speaker", "supersedes", *options):
        return one_line(f"{options.get(name, '--' + name)} {_quoted(str(value))}")
    return ""


def _quoted(text: str) -> str:
    from shlex import quote

    return quote(text)
