"""Ops made elsewhere, taken into the feed: what a device pushes, what an import brings.

Each op stands for itself: one that is refused leaves no trace and stops no other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hosted.ops.writer import Writer
from jmem.core.clock import stamp_ms, wall_ms
from jmem.core.errors import Invalid, JmemError
from jmem.core.model import Op
from jmem.core.opcheck import check_fields, check_shape, checked_text, is_blank
from sync.protocol import MAX_SKEW_MS

_TURN_S = 0.005
"""For so long ops are checked before others get their turn on the event loop: one may take as long as a hundred others."""
_KNOWN = "SELECT stamp, digest, payload FROM jmem.ops WHERE user_id = $1 AND stamp = ANY ($2::text[])"
_REFUSED = "SELECT stamp FROM jmem.refused WHERE user_id = $1 AND stamp = ANY ($2::text[])"
_REFUSE = (
    "INSERT INTO jmem.refused (user_id, stamp) SELECT $1, u.stamp FROM unnest($2::text[]) AS u (stamp)"
    " ON CONFLICT DO NOTHING"
)
_TOP = frozenset(("v", "stamp", "id", "set", "base", "client", "nonce", "purge", "digest"))
_NO_BASE: Any = (None,)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an op: its seq (None: it was known before), or the code of why it was refused."""

    stamp: str
    seq: int | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """An op that is well-formed, and its canonical text."""

    op: Op
    text: str


def op_of(raw: Mapping[str, Any]) -> Op:
    """The op of a JSON object, whatever is in it; `check` says whether it is one."""
    get: Any = raw.get
    base = get("base")
    extra = {name: value for name, value in raw.items() if name not in _TOP}
    return Op(
        get("stamp"), get("id"), get("set"), tuple(base) if isinstance(base, list) else _NO_BASE, get("client", ""),
        get("nonce", ""), get("purge") is True, get("digest"), get("v"), extra,
    )  # fmt: skip


def check(op: Op) -> Checked:
    """The canonical text of an op that may be stored.

    Raises Invalid `bad_op`, `bad_digest`, `upgrade_required`, `local` (its memory may not leave its machine) or why a
    field is refused, TooLarge.
    """
    check_shape(op)
    if op.set.get("privacy") == "local":
        raise Invalid("a local memory stays on its machine", code="local", stamp=op.stamp)
    text = checked_text(op)
    check_fields(op)
    return Checked(op, text)


async def check_all(ops: Sequence[Op]) -> list[Checked | Outcome]:
    """Each op checked, or why it is refused."""
    found: list[Checked | Outcome] = []
    turn_ends = time.monotonic() + _TURN_S
    for op in ops:
        if time.monotonic() > turn_ends:
            await asyncio.sleep(0)
            turn_ends = time.monotonic() + _TURN_S
        try:
            found.append(check(op))
        except JmemError as error:
            stamp = op.stamp if isinstance(op.stamp, str) else ""
            found.append(Outcome(stamp[:40], code=error.code))
    return found


async def take(
    writer: Writer, checked: Sequence[Checked | Outcome], *, device: str | None, now: int | None = None,
    client: str = "sync", kind: str = "sync",
) -> list[Outcome]:  # fmt: skip
    """Take in ops in their order; idempotent.

    A known stamp is acknowledged, with another digest it is `stamp_reuse`. One that was refused before, or is more than
    a minute ahead of the clock (`now` in ms), is `clock_skew` for ever.
    """
    user_id, raw = writer.user_id, writer.raw
    stamps = [one.op.stamp for one in checked if isinstance(one, Checked)]
    known = {r["stamp"]: r for r in await raw.fetch(_KNOWN, user_id, stamps)}
    refused = {r["stamp"] for r in await raw.fetch(_REFUSED, user_id, stamps)}
    latest = (wall_ms() if now is None else now) + MAX_SKEW_MS
    fresh: dict[str, Checked] = {}
    skewed: list[str] = []
    outcomes: list[Outcome] = []
    for one in checked:
        if isinstance(one, Outcome):
            outcomes.append(one)
            continue
        stamp, digest = one.op.stamp, one.op.digest
        if stamp in known or stamp in fresh:
            held = known[stamp]["digest"] if stamp in known else fresh[stamp].op.digest
            outcomes.append(Outcome(stamp, code=None if held == digest else "stamp_reuse"))
            if held == digest and not is_blank(one.op) and not one.op.purge:
                if stamp in fresh:
                    fresh[stamp] = _whole(fresh[stamp], one)
                elif is_blank(Op.parse(known[stamp]["payload"])) and not (await writer.row(one.op.id)).purged:
                    await writer.merge_whole(one.op, one.text)
        elif stamp in refused or stamp_ms(stamp) > latest:
            skewed.append(stamp)
            outcomes.append(Outcome(stamp, code="clock_skew"))
        else:
            fresh[stamp] = one
            outcomes.append(Outcome(stamp, seq=writer.head.seq + len(fresh)))
    if skewed:
        await raw.execute(_REFUSE, user_id, skewed)
    if fresh:
        action = writer.begin(client, kind)
        await writer.append([(one.op, one.text) for one in fresh.values()], action, device)
    return outcomes


def _whole(first: Checked, again: Checked) -> Checked:
    """Of two copies of an op in one batch, the one that was not blanked."""
    return again if is_blank(first.op) and not first.op.purge else first
