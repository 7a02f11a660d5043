"""JSONL: one memory a line, whole with its ops, or plain (`content` and what else is known).

A whole line is `{…memory, "ops":[…]}`; a deleted memory has its line too, and of a purged one
`{"id", "purged": true, "ops"}` with blanked ops is left, so that a purge is carried on. Lines are canonical:
exporting what an export was imported into gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jmem.core.clock import STAMP, stamp_ms, wall_ms
from jmem.core.errors import Invalid, TooLarge
from jmem.core.model import FIELDS, MAX_CONTENT_BYTES, MAX_OP_BYTES, Memory, Op, canonical, check_field, is_id
from jmem.core.portable.records import Record, checked
from jmem.core.portable.split import split_text

PLAIN = ("content", "tags", "metadata", "source", "thread", "speaker", "occurred_at", "client")
_MORE = ("state", "privacy", "expires_at", "created_at", "supersedes")
_ANSWER = ("updated_at", "version", "id", "deleted", "duplicate", "similar", "score", "also", "explain", "replaces")
"""Keys of jmem's own answers that are no fields of a new memory."""
_KNOWN = frozenset((*PLAIN, *_MORE, *_ANSWER))
MAX_AHEAD_MS = 365 * 86_400_000
"""How far ahead of the clock an op may be (a clock was set back): more would drag the clock with it for good."""


# ---- out --------------------------------------------------------------------------------------


def plain_line(memory: Memory) -> str:
    """One memory as it stands, without a newline."""
    return "{" + _members(memory) + "}"


def whole_line(id: str, memory: Memory | None, payloads: Sequence[str]) -> str:
    """One memory with its ops (canonical texts, ascending by stamp); `memory` is None for a purged one."""
    head = f'"id":"{id}","purged":true' if memory is None else _members(memory)
    return "{" + head + ',"ops":[' + ",".join(payloads) + "]}"


def _members(memory: Memory) -> str:
    return ",".join(f"{json.dumps(name)}:{canonical(value)}" for name, value in memory.as_dict().items())


# ---- in ---------------------------------------------------------------------------------------


def parse_item(item: Any) -> list[Record]:
    """The records of one line: one, or several where a long text is split; raises Invalid with the reason."""
    if not isinstance(item, Mapping):
        raise Invalid("the line is not an object", code="not_an_object")
    if "ops" in item:
        return [_whole(item)]
    if item.get("purged"):
        raise Invalid("it is purged and carries no ops", code="purged")
    if unknown := sorted(str(key) for key in item if key not in _KNOWN):
        raise Invalid(f"a memory has no field {', '.join(unknown[:5])}", code="unknown_field",
                      fix="put it in metadata")  # fmt: skip
    if item.get("deleted"):
        raise Invalid("it was deleted when it was exported", code="deleted")
    id, version = item.get("id"), item.get("version")
    if id is not None and not (isinstance(id, str) and is_id(id)):
        raise Invalid("its id is not one of jmem's", code="bad_id", fix="leave the id out, or put it in metadata")
    fields = {name: item[name] for name in (*PLAIN, *_MORE) if name in item}
    content = fields.get("content")
    if isinstance(content, str) and len(content.encode("utf-8", "surrogatepass")) > MAX_CONTENT_BYTES:
        return _split(fields, content)
    return [Record(checked(fields), id, version if isinstance(version, str) else None)]


def _split(fields: Mapping[str, Any], content: str) -> list[Record]:
    """Pieces of a long text, kept together by their thread (made from the text itself, so that it is stable)."""
    pieces = split_text(content)
    if not pieces:
        raise Invalid("content is empty", field="content")
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    thread = fields.get("thread") or fields.get("source") or f"text-{digest[:16]}"
    return [Record(checked({**fields, "content": piece, "thread": thread})) for piece in pieces]


def _whole(item: Mapping[str, Any]) -> Record:
    id, raw = item.get("id"), item["ops"]
    if not (isinstance(id, str) and is_id(id)):
        raise Invalid("its id is not one of jmem's", code="bad_id")
    if not isinstance(raw, list) or not raw:
        raise Invalid("its ops are no list", code="bad_op")
    ops = tuple(_op(id, one) for one in raw)
    if any(not op.set and not op.nonce for op in ops) and not any(op.purge for op in ops):
        raise Invalid("it has a blanked op and no purge", code="bad_op")
    return Record(id=id, ops=tuple(sorted(ops, key=lambda op: op.stamp)))


def _op(id: str, raw: Any) -> Op:
    """One op, checked: its shape, its digest (unless a purge blanked it), its fields."""
    if not isinstance(raw, Mapping):
        raise Invalid("an op is not an object", code="bad_op")
    try:
        return _checked(id, Op.parse(json.dumps(raw)))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Invalid("an op has a value that is not JSON in UTF-8", code="bad_op") from None


def _checked(id: str, op: Op) -> Op:
    if not (isinstance(op.stamp, str) and STAMP.fullmatch(op.stamp) and op.id == id):
        raise Invalid("an op has a bad stamp or belongs to another memory", code="bad_op")
    if stamp_ms(op.stamp) > wall_ms() + MAX_AHEAD_MS:
        raise Invalid("an op is more than a year ahead of this machine's clock", code="clock_skew", fix="set the clock")
    if not isinstance(op.set, Mapping) or not isinstance(op.client, str) or not isinstance(op.nonce, str):
        raise Invalid("an op has a field of the wrong type", code="bad_op")
    if len(op.text().encode()) > MAX_OP_BYTES:
        raise TooLarge(f"an op is larger than {MAX_OP_BYTES:,} bytes", limit=MAX_OP_BYTES)
    blanked = not op.set and not op.base and not op.nonce
    if not blanked and op.sealed().digest != op.digest:
        raise Invalid("an op's digest does not fit it: the line was changed", code="bad_digest",
                      fix="remove ops from the line to import its text alone")  # fmt: skip
    for name, value in op.set.items():
        if name in FIELDS:
            check_field(name, value)
    return op
