"""What the shell offers after a Tab. It starts no daemon, and has nothing to say when something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer

from jmem.cli.text import cut, one_line, short_ids
from jmem.client import Client
from jmem.core import places
from jmem.core.errors import JmemError

Offer = list[tuple[str, str]]
"""(word, what it is)"""

_RECENT = 50
_PREVIEW = 60


def offers(kind: str, environ: Mapping[str, str]) -> Callable[[typer.Context, str], Offer]:
    """The function that typer calls for a parameter declared with `complete=kind`."""

    def complete(ctx: typer.Context, incomplete: str) -> Offer:
        try:
            found = _KINDS[kind](environ, _user(ctx, environ))
        except (JmemError, OSError):
            return []
        return [(word, what) for word, what in found if word.startswith(incomplete)]

    return complete


def _user(ctx: typer.Context, environ: Mapping[str, str]) -> str:
    given = ctx.params.get("user") or ctx.find_root().params.get("user")
    return str(given or environ.get("JMEM_USER") or "default")


def _memories(environ: Mapping[str, str], user: str, **query: Any) -> Offer:
    client = Client(places.home(environ), user=user, autostart=False)
    if not client.running():
        return []
    memories = client.page({"limit": _RECENT, **query})["memories"]
    short = short_ids(memory["id"] for memory in memories)
    return [(short[memory["id"]], _preview(memory["content"])) for memory in memories]


def _preview(content: str) -> str:
    return cut(one_line(" ".join(content.split())), _PREVIEW)


def _deleted(environ: Mapping[str, str], user: str) -> Offer:
    return _memories(environ, user, deleted=True)


def _waiting(environ: Mapping[str, str], user: str) -> Offer:
    return _memories(environ, user, state="review")


def _programs(environ: Mapping[str, str], user: str) -> Offer:
    from jmem.cli.connect import CLIENTS

    return [(name, "") for name in CLIENTS]


def _settings(environ: Mapping[str, str], user: str) -> Offer:
    from jmem.core.settings import SETTINGS

    return [(setting.key, setting.help) for setting in SETTINGS]


_KINDS: dict[str, Callable[[Mapping[str, str], str], Offer]] = {
    "ids": _memories, "deleted": _deleted, "waiting": _waiting, "programs": _programs, "settings": _settings,
}  # fmt: skip
