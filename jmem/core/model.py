"""Memories, ops, and the limits of what may be written. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, dataclass_transform

from jmem.core.errors import Invalid, TooLarge

State = Literal["active", "paused", "archived", "review"]
Privacy = Literal["local", "synced"]
STATES: tuple[str, ...] = ("active", "paused", "archived", "review")
ACCEPTED: tuple[str, ...] = ("active", "paused", "archived")
"""What "all" means to a list or a search: what waits for the owner's review is found only when it is asked for."""
PRIVACIES: tuple[str, ...] = ("local", "synced")

MAX_CONTENT_BYTES = 64 * 1024
MAX_TAGS = 64
MAX_TAG_CHARS = 64
MAX_METADATA_BYTES = 16 * 1024
MAX_NAME_CHARS = 256  # source, thread, speaker
MAX_CLIENT_CHARS = 64
MAX_LIMIT = 1000
MAX_BATCH = 1000
MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_ANSWER_BYTES = 512 * 1024
MAX_OP_BYTES = 128 * 1024
SESSION_THREAD = "mcp:"
"""Begins the thread that a session of a program gives to what it adds: where it was said, not what was said."""
LEAST_NEAR = 0.9
"""The cosine from which two memories are taken for near duplicates (measured on conversations: below it, most pairs are
two answers of the same kind; from it on, most are the same thing said twice)."""

FIELDS: tuple[str, ...] = (
    "content", "tags", "metadata", "state", "deleted", "occurred_at", "expires_at", "privacy",
    "source", "thread", "speaker", "client", "supersedes", "created_at",
)  # fmt: skip
"""The fields of a memory, each a last-writer-wins register."""

CLIENT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
CLIENT_RULE = "a client's name is 1 to 64 of a-z, 0-9, '.', '_', '-', and begins with a letter or digit"
_CONTROL = re.compile("[\0-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_TAG = re.compile(r"""\s*(?:"((?:[^"]|"")*)"\s*(?=,|\Z)|([^,]+))""")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """A frozen dataclass with slots to the type checker. To make one that is frozen while it runs takes ten times as long,
    which is felt where thousands are made."""
    return dataclass(slots=True, unsafe_hash=True)(cls)


# ---- time -------------------------------------------------------------------------------------


def iso(ms: int) -> str:
    """`2026-11-22T20:13:05.123Z`: UTC with milliseconds, so that text order is time order."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC).isoformat()[:19]}.{ms % 1000:03d}Z"


def milliseconds(moment: str) -> int:
    """The milliseconds since 1970 of a text in the form of `iso`."""
    since_1970 = datetime.fromisoformat(moment) - _EPOCH
    return since_1970.days * 86_400_000 + since_1970.seconds * 1000 + since_1970.microseconds // 1000


def now_iso() -> str:
    """The wall clock in the form of `iso`."""
    return iso(time.time_ns() // 1_000_000)


def parse_time(text: str, name: str = "time") -> str:
    """Any ISO 8601 date or time (a naive one is local time) in the form of `iso`; raises Invalid."""
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.astimezone()
        return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"
    except (ValueError, OverflowError, OSError):
        raise Invalid(f"{name} is not a date or time: {text[:60]!r}", fix="write it as 2026-11-22 or 2026-11-22T20:13:05Z",
                      field=name) from None  # fmt: skip


# ---- ids --------------------------------------------------------------------------------------

_id_lock = threading.Lock()
_id_last = 0


def new_id() -> str:
    """A UUIDv7, strictly increasing within a process: 48 bits of ms, 12 of counter, 62 random."""
    global _id_last
    with _id_lock:
        tick = (time.time_ns() // 1_000_000) << 12
        _id_last = tick if tick > _id_last else _id_last + 1
        ms, counter = _id_last >> 12, _id_last & 0xFFF
    bits = (ms & (1 << 48) - 1) << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | secrets.randbits(62)
    h = f"{bits:032x}"
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def is_id(text: str) -> bool:
    """Whether `text` is a whole id in canonical form."""
    return _ID.fullmatch(text) is not None


# ---- ops --------------------------------------------------------------------------------------


plain_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""A value as JSON without spaces, its keys in the order they have: how rows hold lists and objects."""


def canonical(value: Any) -> str:
    """RFC 8785 text of JSON made of objects, arrays, strings, booleans, null and finite numbers.

    Python's own shortest float form differs from ECMAScript's only in exponents and whole floats, which
    are rewritten here; keys are sorted by UTF-16 units as the RFC asks.
    """
    if isinstance(value, Mapping):
        items = sorted(value.items(), key=lambda kv: kv[0].encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{plain_json(k)}:{canonical(v)}" for k, v in items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        return _ecmascript_number(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53 - 1 and not _is_double(value):
        raise Invalid("a whole number beyond 2^53 - 1 does not survive JSON; write it as text", field="metadata")
    return plain_json(value)


def _is_double(value: int) -> bool:
    """Whether a large whole number is what JSON makes of a float (1e16 is written 10000000000000000)."""
    return abs(value) < 10**21 and _ecmascript_number(float(value)) == str(value)


def _ecmascript_number(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        raise Invalid("NaN and infinity are not JSON", field="metadata")
    if value == 0:
        return "0"
    digits, _, power = repr(abs(value)).partition("e")
    whole, _, fraction = digits.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(power or 0)
    figures = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(figures)
    figures = figures.rstrip("0")
    n = len(figures)
    if n <= point <= 21:
        text = figures + "0" * (point - n)
    elif 0 < point <= 21:
        text = figures[:point] + "." + figures[point:]
    elif -6 < point <= 0:
        text = "0." + "0" * -point + figures
    else:
        sign = "+" if point - 1 >= 0 else "-"
        text = figures[0] + ("." + figures[1:] if n > 1 else "") + f"e{sign}{abs(point - 1)}"
    return ("-" if value < 0 else "") + text


_OP_KEYS = frozenset(("v", "stamp", "id", "set", "base", "client", "nonce", "purge", "digest"))


@frozen
class Op:
    """One immutable change of one memory: any subset of its fields at one stamp (see docs/sync-protocol.md)."""

    stamp: str
    id: str
    set: Mapping[str, Any] = field(default_factory=dict)
    base: tuple[str, ...] = ()
    client: str = ""
    nonce: str = ""
    purge: bool = False
    digest: str = ""
    v: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Top-level keys of a newer version, stored and relayed untouched."""

    def body(self) -> dict[str, Any]:
        """Everything the digest covers."""
        return {
            **self.extra,
            "v": self.v, "stamp": self.stamp, "id": self.id, "set": dict(self.set), "base": list(self.base),
            "client": self.client, "nonce": self.nonce, **({"purge": True} if self.purge else {}),
        }  # fmt: skip

    def sealed(self) -> Op:
        """The same op with its digest: SHA-256 over the canonical text of its body."""
        digest = "sha256:" + hashlib.sha256(canonical(self.body()).encode()).hexdigest()
        return Op(
            self.stamp, self.id, self.set, self.base, self.client, self.nonce, self.purge, digest, self.v, self.extra
        )

    def blanked(self) -> Op:
        """What a purge leaves of an op: stamp, id and digest."""
        return Op(self.stamp, self.id, {}, (), self.client, "", self.purge, self.digest, self.v)

    def text(self) -> str:
        """The canonical text that is stored and sent."""
        return canonical({**self.body(), "digest": self.digest})

    @staticmethod
    def parse(text: str) -> Op:
        """The op of a canonical text; raises Invalid when its shape is wrong. Does not check the digest."""
        try:
            return Op.of(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise Invalid(f"not an op: {error!r}", code="bad_op") from None

    @staticmethod
    def of(raw: Any) -> Op:
        """The op of a parsed text, as `parse`."""
        try:
            return Op(raw["stamp"], raw["id"], raw["set"], tuple(raw["base"]), raw.get("client", ""), raw.get("nonce", ""),
                      bool(raw.get("purge", False)), raw["digest"], raw["v"],
                      {k: v for k, v in raw.items() if k not in _OP_KEYS})  # fmt: skip
        except (KeyError, TypeError, AttributeError) as error:
            raise Invalid(f"not an op: {error!r}", code="bad_op") from None


def new_nonce() -> str:
    """128 random bits in hex: makes the digest of a purged short text tell nothing."""
    return os.urandom(16).hex()


# ---- memories ---------------------------------------------------------------------------------


@frozen
class Memory:
    """A memory as it stands: the winners of its registers."""

    id: str
    content: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    state: str = "active"
    deleted: bool = False
    occurred_at: str | None = None
    expires_at: str | None = None
    privacy: str = "synced"
    source: str | None = None
    thread: str | None = None
    speaker: str | None = None
    client: str = ""
    supersedes: str | None = None
    created_at: str = ""
    updated_at: str = ""
    version: str = ""
    """The greatest stamp among its fields: what `If-Match` compares."""
    superseded_by: str | None = None
    """The newest live memory that supersedes it, where what answers has looked for one."""

    def as_dict(self) -> dict[str, Any]:
        """The wire shape on CLI and HTTP; `superseded_by` is there only when there is one."""
        found = {
            "id": self.id, "content": self.content, "tags": list(self.tags), "state": self.state, "client": self.client,
            "source": self.source, "metadata": dict(self.metadata), "privacy": self.privacy,
            "created_at": self.created_at, "updated_at": self.updated_at, "occurred_at": self.occurred_at,
            "expires_at": self.expires_at, "thread": self.thread, "speaker": self.speaker,
            "supersedes": self.supersedes, "deleted": self.deleted, "version": self.version,
        }  # fmt: skip
        return found if self.superseded_by is None else {**found, "superseded_by": self.superseded_by}


# ---- validation -------------------------------------------------------------------------------


def check_text(value: Any, name: str, limit: int) -> str:
    """A str of 1..limit characters without NUL and lone surrogates; raises Invalid."""
    if not isinstance(value, str):
        raise Invalid(f"{name} must be text", field=name)
    if "\0" in value:
        raise Invalid(f"{name} has a NUL character", field=name, fix="remove it")
    if _SURROGATE.search(value):
        raise Invalid(f"{name} is not valid UTF-8", field=name, fix="convert it to UTF-8")
    if not value.strip():
        raise Invalid(f"{name} is empty", field=name)
    if len(value) > limit:
        raise TooLarge(f"{name} is longer than {limit:,} characters", field=name, limit=limit)
    return value


def check_content(value: Any) -> str:
    """Content of 1 to 65,536 bytes of UTF-8; raises Invalid or TooLarge."""
    text = check_text(value, "content", 10**9)
    size = len(text.encode())
    if size > MAX_CONTENT_BYTES:
        raise TooLarge(f"content has {size:,} bytes; a memory holds at most {MAX_CONTENT_BYTES:,}", field="content",
                       limit=MAX_CONTENT_BYTES, fix="jmem import FILE --from md   splits a long text")  # fmt: skip
    return text


def tags_of(text: str) -> list[str]:
    """The tags that a line names, with commas between them; a # before one is not part of it, unless it is in quotes."""
    tags = (
        plain.strip().removeprefix("#").strip() if quoted is None else quoted.replace('""', '"').strip()
        for quoted, plain in (part.groups() for part in _TAG.finditer(text))
    )
    return list(dict.fromkeys(tag for tag in tags if tag))


def tags_line(tags: Iterable[str]) -> str:
    """The line that `tags_of` takes for these tags: what it would take for another tag stands in quotes."""
    return ", ".join(
        tag if tags_of(tag) == [tag] and not tag.startswith('"') else '"' + tag.replace('"', '""') + '"' for tag in tags
    )


def check_tags(value: Any) -> list[str]:
    """At most 64 tags of at most 64 characters, in the order given, without repeats; raises Invalid."""
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise Invalid("tags must be a list of texts", field="tags")
    tags: list[str] = []
    for tag in value:
        text = check_text(tag, "tag", MAX_TAG_CHARS).strip()
        if _CONTROL.search(text):
            raise Invalid("a tag has a control character", field="tags")
        if text not in tags:
            tags.append(text)
    if len(tags) > MAX_TAGS:
        raise TooLarge(f"{len(tags)} tags; a memory holds at most {MAX_TAGS}", field="tags", limit=MAX_TAGS)
    return tags


def _check_metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Invalid("metadata must be an object", field="metadata")
    try:
        text = canonical(value)
    except (TypeError, RecursionError, AttributeError):
        raise Invalid("metadata must be JSON", field="metadata") from None
    if _NUL_ESCAPE.search(text) or _SURROGATE.search(text):
        raise Invalid("metadata has a NUL or is not valid UTF-8", field="metadata")
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise TooLarge(
            f"metadata is larger than {MAX_METADATA_BYTES:,} bytes", field="metadata", limit=MAX_METADATA_BYTES
        )
    return dict(value)


def check_client(value: Any) -> str:
    """A client's name: 1 to 64 of a-z 0-9 . _ -, starting with a letter or digit; raises Invalid."""
    if not isinstance(value, str) or not CLIENT_NAME.fullmatch(value):
        raise Invalid(CLIENT_RULE, field="client")
    return value


def _one_of(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise Invalid(f"{name} must be one of {', '.join(allowed)}", field=name)
    return str(value)


def check_field(name: str, value: Any) -> Any:
    """The stored form of one field's value; raises Invalid. None clears the optional ones."""
    match name:
        case "content":
            return check_content(value)
        case "tags":
            return check_tags(value)
        case "metadata":
            return _check_metadata(value)
        case "state":
            return _one_of(value, name, STATES)
        case "privacy":
            return _one_of(value, name, PRIVACIES)
        case "deleted":
            if not isinstance(value, bool):
                raise Invalid("deleted must be true or false", field=name)
            return value
        case "client":
            return check_client(value)
        case "created_at":
            return parse_time(check_text(value, name, 64), name)
        case "occurred_at" | "expires_at":
            return None if value is None else parse_time(check_text(value, name, 64), name)
        case "source" | "thread" | "speaker":
            return None if value is None else check_text(value, name, MAX_NAME_CHARS)
        case "supersedes":
            if value is not None and not (isinstance(value, str) and is_id(value)):
                raise Invalid("supersedes must be a whole id", field=name)
            return value
    raise Invalid(f"a memory has no field {name!r}", field=name)
