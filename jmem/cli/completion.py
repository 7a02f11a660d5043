"""What the shell offers after a Tab. It starts no daemon, and has nothing to say when something is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import typer

from jmem.cli.text import cut, one_line, short_ids
from jmem.client import Client
from jmem.core import places
from jmem.core.errors import JmemError

Offer = list[tuple[str, str]]
"""(word, what it is)"""

_PLAIN = re.compile(r"[\w@%+=:,./-]+")
"""Words that mean themselves in every shell: bash puts what is offered on the command line as it is."""
_HARMLESS = str.maketrans({"\\": " ", "$": " ", "`": " ", '"': "”", "'": "’"})
"""What zsh would run in a text: it evaluates what stands beside a word, and memories are written by programs."""
_RECENT = 50
_PREVIEW = 60


def offers(kind: str, environ: Mapping[str, str]) -> Callable[[typer.Context, str], Offer]:
    """The function that typer calls for a parameter declared with `complete=kind`."""
    ask = _KINDS[kind]

    def complete(ctx: typer.Context, incomplete: str) -> Offer:
        try:
            found = ask(environ, _user(ctx, environ))
        except (JmemError, OSError):
            return []
        return [(word, what.translate(_HARMLESS)) for word, what in found
                if word.startswith(incomplete) and _PLAIN.fullmatch(word)]  # fmt: skip

    return complete


def _user(ctx: typer.Context, environ: Mapping[str, str]) -> str:
    given = ctx.params.get("user") or ctx.find_root().params.get("user")
    return str(given or environ.get("JMEM_USER") or "default")


def _running(environ: Mapping[str, str], user: str) -> Client | None:
    """The daemon, where one runs."""
    client = Client(places.home(environ), user=user, autostart=False)
    return client if client.running() else None


def _memories(environ: Mapping[str, str], user: str, **query: Any) -> Offer:
    daemon = _running(environ, user)
    if daemon is None:
        return []
    memories = daemon.page({"limit": _RECENT, **query})["memories"]
    short = short_ids(memory["id"] for memory in memories)
    return [(short[memory["id"]], _preview(memory["content"])) for memory in memories]


def _preview(content: str) -> str:
    return cut(one_line(" ".join(content.split())), _PREVIEW)


def _deleted(environ: Mapping[str, str], user: str) -> Offer:
    return _memories(environ, user, deleted=True)


def _waiting(environ: Mapping[str, str], user: str) -> Offer:
    return _memories(environ, user, state="review")


def _tags(environ: Mapping[str, str], user: str) -> Offer:
    daemon = _running(environ, user)
    return [(one["tag"], _count(one["count"])) for one in daemon.tags()] if daemon else []


def _clients(environ: Mapping[str, str], user: str) -> Offer:
    """Who has stored something, and the programs that are or were connected."""
    daemon = _running(environ, user)
    if daemon is None:
        return []
    wrote = daemon.stats()["clients"]
    names = {name for name in wrote if name} | {client["name"] for client in daemon.clients()}
    return [(name, _count(wrote.get(name, 0))) for name in sorted(names)]


def _count(memories: int) -> str:
    return f"{memories:,} memories" if memories != 1 else "1 memory"


def _programs(environ: Mapping[str, str], user: str) -> Offer:
    from jmem.cli.connect import CLIENTS

    return [(name, "") for name in CLIENTS]


def _settings(environ: Mapping[str, str], user: str) -> Offer:
    from jmem.core.settings import SETTINGS

    return [(setting.key, setting.help) for setting in SETTINGS]


_KINDS: dict[str, Callable[[Mapping[str, str], str], Offer]] = {
    "ids": _memories, "deleted": _deleted, "waiting": _waiting, "tags": _tags, "clients": _clients,
    "programs": _programs, "settings": _settings,
}  # fmt: skip
