"""How the exchange with the account goes, in words: the same on the command line and in the interface."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Document = dict[str, Any]


def account(sync: Document) -> str:
    """`me@example.com at https://memory.example.com`."""
    nameless = "nobody" if sync["state"] == "account_deleted" else "an API key"
    who = sync["email"] or sync["account"] or nameless
    return f"{who} at {sync['url']}" if sync["url"] else who


def waiting(sync: Document) -> str:
    """`12, the oldest for 3 min`."""
    lag = f", the oldest for {span(sync['lag_s'])}" if sync["waiting"] and sync["lag_s"] is not None else ""
    return f"{sync['waiting']:,}{lag}"


def progress(sync: Document) -> str | None:
    """How far the exchange that runs now has come; None while none does."""
    done = sync["progress"]
    if done is None:
        return None
    coming = f" and {done['coming']:,} to come" if done["coming"] else ""
    return f"{done['sent']:,} sent and {done['waiting']:,} to go, {done['received']:,} received{coming}"


def amiss(sync: Document) -> Iterator[tuple[str, str]]:
    """A name and a value for each thing that somebody should look at."""
    for what, by in (("stuck", "the account does not take them"), ("refused", "they can't be kept here")):
        for code in sorted(set(sync[what].values())):
            yield what, f"{list(sync[what].values()).count(code):,} changes, {by}: {code}"
    if sync["conflicts"]:
        yield "conflicts", f"{sync['conflicts']:,} with texts written apart: jmem conflicts"
    if sync["next_try_s"]:
        yield "next try", f"in {span(sync['next_try_s'])}"


def span(seconds: int) -> str:
    """`90 s`, `12 min`, `5 h`."""
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
