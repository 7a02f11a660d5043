"""How jmem is at a moment, and how that is told. Knows no screen."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from jmem.cli import exchange
from jmem.cli.render import ago
from jmem.cli.text import wrap
from jmem.client import Client
from jmem.core import places
from jmem.core.errors import Unreachable
from jmem.tui import shown
from jmem.tui.widgets.log import Entry, tail

_NAME = 11
_TONES = {"stuck": "error", "refused": "error", "conflicts": "warning", "next try": "accent"}


@dataclass(frozen=True)
class State:
    """What is known at a moment; without a daemon only its log and its files."""

    status: dict[str, Any] | None
    index: dict[str, Any] | None
    backups: dict[str, Any] | None
    bytes: int
    log: tuple[Entry, ...]
    home: str

    @property
    def busy(self) -> bool:
        """Whether it is about to change by itself."""
        return bool(self.index and (self.index["state"] != "ready" or self.index["pending"]))


def read(daemon: Client) -> State:
    """Everything, without starting a daemon."""
    status = index = backups = None
    size = 0
    quiet = daemon.without_start()
    if quiet.running():
        try:
            status, backups = quiet.status(), quiet.backups()
            if status["user_id"]:
                index = quiet.index()
                size = _bytes(Path(daemon.home, "users", status["user_id"]))
        except Unreachable:  # it stopped in the middle
            status = index = backups = None
    return State(status, index, backups, size, tail(places.log_path(daemon.home)), daemon.home)


def _bytes(folder: Path) -> int:
    """Of the files that hold the memory, backups not counted."""
    try:
        with os.scandir(folder) as found:
            return sum(entry.stat().st_size for entry in found if entry.is_file())
    except OSError:
        return 0


def facts_text(state: State, colours: dict[str, str], width: int) -> Text:
    """A name and what is so, a few lines each."""
    text = Text(no_wrap=False)
    for name, value, style in _facts(state):
        colour = colours.get(style, style)
        for number, line in enumerate(wrap(shown.one_line(value), max(width - _NAME, 12))):
            text.append("" if number else shown.fit(name, _NAME), f"bold {colours['secondary']}")
            text.append(" " * _NAME if number else "")
            text.append(f"{line}\n", colour)
    text.right_crop(1)
    return text


def _facts(state: State) -> list[tuple[str, str, str]]:
    """Name, value, colour."""
    status = state.status
    if status is None:
        return [("daemon", "is stopped", "error"), ("", "s starts it; so does the next program that needs it.", "dim"),
                ("home", state.home, "")]  # fmt: skip
    daemon, embedder = status["daemon"], status["embedder"]
    facts = [("daemon", f"runs since {_since(daemon['uptime_s'])} · pid {daemon['pid']} · {daemon['rss_mb']:.0f} MB", "success"),
             ("", f"version {daemon['version']} · port {daemon['port']} · {daemon['socket']}", "dim")]  # fmt: skip
    if daemon.get("trouble"):
        facts.append(("", str(daemon["trouble"]), "error"))
    facts += _index_facts(state.index)
    short = (embedder["fingerprint"] or "").split("/")[1:2]
    where = ["sends texts to a remote model"] if embedder["remote"] else ["on this machine"]
    facts.append(
        (
            "embedder",
            " · ".join([embedder["name"], *short, embedder["state"], *where]),
            "warning" if embedder["remote"] else "",
        )
    )
    waiting = f" · {status['review']:,} wait for review" if status["review"] else ""
    facts.append(("store", f"{status['memories']:,} memories · {amount(state.bytes)}{waiting} · {state.home}", ""))
    if status.get("warning"):
        facts.append(("", status["warning"], "error"))
    facts += _backup_facts(state.backups)
    return facts + _sync_facts(status["sync"])


def _since(seconds: float) -> str:
    """When what is so old began: the time of day, with the date where that was not today."""
    began, now = time.localtime(time.time() - seconds), time.localtime()
    return time.strftime("%H:%M" if began[:3] == now[:3] else "%Y-%m-%d %H:%M", began)


def _index_facts(index: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    if index is None:
        return [("index", "empty", "")]
    indexed, pending = index["indexed"], index["pending"]
    total = indexed + pending
    facts = [
        (
            "index",
            f"{index['state']} · {indexed:,} memories · {amount(index['bytes'])}",
            "success" if not pending else "accent",
        )
    ]
    if pending:
        done = round(20 * indexed / total)
        facts.append(("", f"{'█' * done}{'░' * (20 - done)} {indexed:,} of {total:,}", "accent"))
    if index.get("error"):
        facts.append(("", str(index["error"]), "error"))
    return facts


def _backup_facts(backups: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    if backups is None:
        return []
    made = backups["backups"]
    last = f"last {ago(made[0]['created_at'])}" if made else "none yet"
    due = f"next {ago(backups['next'])}" if backups["next"] else "no daily ones"
    return [("backups", f"{last} · {due} · {len(made)} kept", "" if made else "warning")]


def _sync_facts(sync: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    if sync is None:
        return [("sync", "not signed in: nothing leaves this machine (jmem login)", "")]
    state, error = str(sync["state"]), sync["error"] or {}
    words = [state.replace("_", " "), exchange.account(sync)]
    tone = "success" if state in ("on", "syncing") else "accent" if state in ("waiting", "paused") else "error"
    facts = [("sync", " · ".join(words), tone)]
    told = [f"waiting {exchange.waiting(sync)}" if sync["waiting"] else "nothing waits"]
    if sync["held"]:
        told.append(f"{sync['held']:,} held back by rules")
    if sync["local"]:
        told.append(f"{sync['local']:,} private")
    told.append(f"exchanged {ago(sync['last_exchange'])}" if sync["last_exchange"] else "not exchanged yet")
    facts.append(("", " · ".join(told), "dim"))
    if done := exchange.progress(sync):
        facts.append(("", done, "accent"))
    facts += [("", f"{name}: {value}", _TONES[name]) for name, value in exchange.amiss(sync)]
    if state == "paused":
        facts.append(("", "go on with: jmem sync resume", "accent"))
    if error:
        facts += [("", str(error.get("title")), "error"), ("", str(error.get("fix") or "jmem sync status"), "accent")]
    return facts


def amount(size: float) -> str:
    """`152 KB`, `2.3 MB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return ""
