"""The hosted account as this machine knows it: who is signed in, by what, how the exchange goes and what waits for a word.

Of a machine that nobody signed in on nothing is asked of any network.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from daemon import account
from daemon.check.process import answers, ask
from daemon.check.store import Home, copy_of, users_of
from daemon.users import key_of
from jmem.core import conflicts, outbox
from jmem.core.errors import JmemError
from jmem.core.finding import Check, Finding
from jmem.core.settings import Settings
from jmem.core.store.migrate import schema_version
from jmem.core.store.schema import MIGRATIONS
from jmem.core.store.store import DATABASE

LATE_S = 600
"""A change that waits for longer while the daemon runs is worth a word."""
_FAILS = frozenset(("signed_out", "account_deleted", "upgrade_required", "bound"))


@dataclass(frozen=True)
class _Kept:
    """What the store says."""

    bound: str | None
    waiting: int
    paused: bool
    apart: int


def account_checks(settings: Settings) -> Iterator[Check]:
    """The checks of every user's account."""
    try:
        users = users_of(settings.home)
    except JmemError:
        return  # store_checks has said so
    for user in users:
        if (user.folder / DATABASE).exists():
            yield lambda user=user: _account(settings, user)  # type: ignore[misc]


def _account(settings: Settings, user: Home) -> Iterator[Finding]:
    with copy_of(user.folder / DATABASE) as conn:
        if schema_version(conn) != len(MIGRATIONS):
            return  # an older one is brought forward at the daemon's start, and store_checks tells of a newer one
        kept = _Kept(
            outbox.position(conn).account, outbox.waiting(conn), outbox.paused(conn), conflicts.how_many(conn)
        )  # fmt: skip
    try:
        said, key = account.stored(user.folder), key_of(settings, user.name)
    except JmemError as error:
        yield Finding("account", "fail", f"{user.label}{error.message}", "jmem login")
        return
    if said is None and not key:
        yield _signed_out(user, kept)
    else:
        url = settings["hosted.url"] if said is None else str(said.get("url", ""))
        yield _reached(user, url, said or {}, kept)
        yield from _proof(user, said)
        yield from _exchange(user, kept)
    if kept.apart:
        text = f"{user.label}{kept.apart} memories have texts that were written apart"
        yield Finding("conflicts", "warn", text, "jmem conflicts")
    elif kept.bound:
        yield Finding("conflicts", "ok", f"{user.label}no text was written apart")


def _signed_out(user: Home, kept: _Kept) -> Finding:
    if kept.bound is None:
        return Finding("account", "ok", f"{user.label}nobody is signed in: nothing leaves this machine", "jmem login")
    text = f"{user.label}signed out of the account {kept.bound}"
    if kept.waiting:
        return Finding("account", "warn", f"{text}; {kept.waiting} changes wait for it", "jmem login")
    return Finding("account", "ok", f"{text}; nothing waits for it", "jmem login")


def _reached(user: Home, url: str, said: dict[str, Any], kept: _Kept) -> Finding:
    """Whether the account answers at its address; it is asked nothing but where one signs in."""
    import httpx

    from sync.session import where_to_sign_in

    who = f"{user.label}{said.get('email') or said.get('sub') or 'an API key'} at {url}"
    if kept.bound and said and kept.bound != said.get("sub"):
        fix = "jmem --user NAME login   keeps that account's memories apart"
        return Finding("account", "fail", f"{who}, but these memories belong to the account {kept.bound}", fix)
    bound = f"; these memories belong to the account {kept.bound}" if kept.bound else ""
    try:
        with httpx.Client(headers={"user-agent": "jmem"}) as http:
            where_to_sign_in(url, http)
    except JmemError as error:
        fix = f"look at the network, or at {url}; what changes waits, and nothing is lost"
        return Finding("account", "warn", f"{who}, which can't be reached: {error.message}{bound}", fix)
    return Finding("account", "ok", f"{who}, which answers{bound}")


def _proof(user: Home, said: dict[str, Any] | None) -> Iterator[Finding]:
    """Whether what proves the sign-in is there, and nobody else's to read."""
    from sync.keeper import FileKeeper, keeper

    if said is None:
        yield Finding("sign-in", "ok", f"{user.label}by an API key in the settings")
        return
    try:
        kept = keeper(user.folder, user.folder.name, str(said.get("keeper", "")))
        there = bool(kept.load())
    except (JmemError, OSError) as error:
        yield Finding("sign-in", "fail", f"{user.label}{error}", "unlock the keyring, or sign in again: jmem login")
        return
    mode = f", mode {stat.S_IMODE(kept.path.stat().st_mode):o}" if isinstance(kept, FileKeeper) and there else ""
    if not there:
        yield Finding("sign-in", "fail", f"{user.label}what proves it is gone from {kept.where}", "jmem login")
    else:
        yield Finding("sign-in", "ok", f"{user.label}kept in {kept.where}{mode}")  # permissions judges the mode


def _exchange(user: Home, kept: _Kept) -> Iterator[Finding]:
    if not answers(user.home):
        text = f"{user.label}{kept.waiting} changes wait" if kept.waiting else f"{user.label}nothing waits"
        if kept.paused:
            yield Finding("sync", "warn", f"{text}; paused", "jmem sync resume")
        else:
            yield Finding("sync", "ok", f"{text}; it goes on once the daemon runs")
        return
    sync = ask(user.home, "GET", "/api/v1/sync", user=user.name)
    yield _course(user, sync)
    for what, why in (
        ("stuck", "that the account does not take"),
        ("refused", "of the account that can't be kept here"),
    ):
        if codes := sorted(set(sync[what].values())):
            text = f"{user.label}{len(sync[what])} changes {why}: {', '.join(codes)}"
            yield Finding(what, "fail", text, "jmem sync verify   names the memories")


def _course(user: Home, sync: dict[str, Any]) -> Finding:
    """How the exchange goes."""
    waits = f"{sync['waiting']} changes wait" if sync["waiting"] else "nothing waits"
    since = f", the last exchange was at {sync['last_exchange']}" if sync["last_exchange"] else ", none yet in this run"
    error = sync["error"]
    if sync["state"] == "paused":
        return Finding("sync", "warn", f"{user.label}paused; {waits}", "jmem sync resume")
    if error:
        status = "fail" if sync["state"] in _FAILS else "warn"
        again = f"; the next try is in {sync['next_try_s']} s" if sync["next_try_s"] else ""
        fix = str(error.get("fix") or "jmem sync status")
        return Finding("sync", status, f"{user.label}{error['title']}; {waits}{since}{again}", fix)  # type: ignore[arg-type]
    if (sync["lag_s"] or 0) > LATE_S and sync["waiting"] > len(sync["stuck"]):
        return Finding(
            "sync", "warn", f"{user.label}{waits}, the oldest for {sync['lag_s'] // 60} min{since}", "jmem sync now"
        )
    return Finding("sync", "ok", f"{user.label}{sync['state']}; {waits}{since}")
