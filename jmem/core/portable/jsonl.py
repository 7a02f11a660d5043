"""JSONL: one memory a line, whole with its ops, or plain (`content` and what else is known).

A whole line is `{…memory, "ops":[…]}`; the ops of a very long history go on in lines `{"id", "part", "ops"}`. A deleted memory has its line too, and of a purged one
`{"id", "purged": true, "ops"}` with blanked ops is left, so that a purge is carried on. Lines are canonical:
exporting what an export was imported into gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jmem.core.errors import Invalid
from jmem.core.model import MAX_CONTENT_BYTES, Memory, Op, canonical, is_id
from jmem.core.portable.records import Record, checked
from jmem.core.portable.split import split_text

PLAIN = ("content", "tags", "metadata", "source", "thread", "speaker", "occurred_at", "client")
_MORE = ("state", "privacy", "expires_at", "created_at", "supersedes")
_ANSWER = ("updated_at", "version", "id", "deleted", "duplicate", "similar", "score", "also", "explain", "replaces")
"""Keys of jmem's own answers that are no fields of a new memory."""
MAX_LINE_CHARS = 1024 * 1024
"""Of ops in one line, so that each fits into a request."""
_KNOWN = frozenset((*PLAIN, *_MORE, *_ANSWER))


# ---- out --------------------------------------------------------------------------------------


def plain_line(memory: Memory) -> str:
    """One memory as it stands, without a newline."""
    return "{" + _members(memory) + "}"


def whole_lines(id: str, memory: Memory | None, payloads: Iterable[str], *, purged: bool = False) -> Iterator[str]:
    """One memory with its ops (canonical texts, ascending by stamp); without content `memory` is None."""
    whole = Whole(id, memory, purged=purged)
    for payload in payloads:
        if (line := whole.take(payload)) is not None:
            yield line
    yield whole.end()


class Whole:
    """The lines of one memory, as its ops come; see `whole_lines`."""

    def __init__(self, id: str, memory: Memory | None, *, purged: bool = False) -> None:
        self._id, self._purged = id, purged
        self._head = _members(memory) if memory is not None else f'"id":"{id}"' + (',"purged":true' if purged else "")
        self._part, self._size, self._ops = 1, 0, list[str]()

    def take(self, payload: str) -> str | None:
        """Add the next op; a line that is full without it."""
        line = None
        if self._ops and not self._purged and self._size + len(payload) > MAX_LINE_CHARS:
            line = self.end()
            self._part, self._size, self._ops = self._part + 1, 0, []
            self._head = f'"id":"{self._id}","part":{self._part}'
        self._ops.append(payload)
        self._size += len(payload)
        return line

    def end(self) -> str:
        """The line of what is left."""
        return "{" + self._head + ',"ops":[' + ",".join(self._ops) + "]}"


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
    blank = any(not op.set and not op.base and not op.nonce and not op.purge for op in ops)
    if blank and not any(op.purge for op in ops):
        raise Invalid("an op is blank and there is no purge: the line was cut", code="bad_op")
    return Record(id=id, ops=tuple(sorted(ops, key=lambda op: op.stamp)), continued=item.get("part", 1) != 1)


def _op(id: str, raw: Any) -> Op:
    """An op of well-formed JSON about this memory; whoever merges it checks its digest, stamp and fields."""
    try:
        op = Op.parse(json.dumps(raw))
        if not isinstance(op.stamp, str) or not isinstance(op.set, Mapping):
            raise TypeError
    except (ValueError, TypeError, RecursionError):
        raise Invalid("an op has not the form of one", code="bad_op") from None
    if op.id != id:
        raise Invalid("an op belongs to another memory", code="bad_op")
    return op
