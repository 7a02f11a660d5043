"""Markdown: one file a memory, YAML front matter and the content as the body.

A file that jmem wrote has an `id` and comes back as that memory, edited where the file was. Any other
Markdown is split at its headings and paragraphs into memories that share the file as their `thread`.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from jmem.core.errors import Invalid, JmemError, TooLarge
from jmem.core.model import MAX_NAME_CHARS, Memory, check_field, check_text, is_id
from jmem.core.portable.records import Record, checked
from jmem.core.portable.split import split_markdown
from jmem.core.words import WORD

if TYPE_CHECKING:
    import yaml

MAX_FRONT_CHARS = 64 * 1024
MAX_DEPTH = 64
MAX_NOTE_CHARS = 8 * 1024 * 1024
SLUG_WORDS, SLUG_CHARS = 6, 40

_OPEN = re.compile(r"---[ \t]*\r?\n")
_CLOSE = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.M)
_DELICATE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]|^\\s|\\s$")
_OWN = (
    "state",
    "occurred_at",
    "expires_at",
    "privacy",
    "source",
    "thread",
    "speaker",
    "client",
    "supersedes",
    "created_at",
)
_IGNORED = ("id", "version", "updated_at", "tags", "metadata")


# ---- out --------------------------------------------------------------------------------------


def write_note(memory: Memory) -> str:
    """The file of a memory: what it holds and nothing that is empty."""
    values = memory.as_dict()
    front = {name: values[name] for name in ("id", "created_at", "updated_at", "occurred_at", "expires_at", "state",
             "privacy", "client", "tags", "source", "thread", "speaker", "supersedes", "metadata", "version")
             if values[name]}  # fmt: skip
    return f"---\n{_dump(front)}---\n\n{memory.content}\n"


def note_name(memory: Memory) -> str:
    """`2026-11-22-prefers-aisle-seats-0123456789ab.md`: when, what, and the end of the id."""
    words = WORD.findall(unicodedata.normalize("NFC", memory.content[:400]).lower())[:SLUG_WORDS]
    slug = "-".join(words)[:SLUG_CHARS].strip("-")
    when = (memory.occurred_at or memory.created_at)[:10]
    return "-".join(part for part in (when, slug, memory.id[-12:]) if part) + ".md"


# ---- in ---------------------------------------------------------------------------------------


def parse_item(item: Any) -> list[Record]:
    """The records of one `{"path", "text"}` item; raises Invalid with the reason."""
    if not isinstance(item, Mapping) or not isinstance(item.get("path"), str) or not isinstance(item.get("text"), str):
        raise Invalid("a Markdown item is an object with path and text", code="not_an_object")
    return parse_note(item["path"], item["text"])


def parse_note(path: str, text: str) -> list[Record]:
    """The records of a file; raises Invalid (`bad_front_matter`, not UTF-8, empty, a field) or TooLarge."""
    if len(text) > MAX_NOTE_CHARS:
        raise TooLarge(f"the file has more than {MAX_NOTE_CHARS:,} characters", limit=MAX_NOTE_CHARS, fix="cut it up")
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise Invalid("the file is empty", code="empty")
    check_text(text, "the file", MAX_NOTE_CHARS)
    front, body = _front_matter(text)
    if isinstance(front.get("id"), str) and is_id(front["id"]):
        return [_own_note(front, body.removeprefix("\n").removesuffix("\n"))]
    return _foreign_note(path, front, body)


def _front_matter(text: str) -> tuple[dict[str, Any], str]:
    """({}, text) without front matter. A file written with CRLF throughout is read as if with LF."""
    opening = _OPEN.match(text)
    if opening is None:
        return {}, text.replace("\r\n", "\n")
    if opening[0].endswith("\r\n"):
        text = text.replace("\r\n", "\n")
    start = text.index("\n") + 1
    closing = _CLOSE.search(text, start)
    if closing is None:
        return {}, text
    source = text[start : closing.start()]
    if len(source) > MAX_FRONT_CHARS:
        raise TooLarge(f"the front matter has more than {MAX_FRONT_CHARS:,} characters", limit=MAX_FRONT_CHARS)
    front = _load(source)
    if front is None:
        return {}, text[closing.end() :]
    if not isinstance(front, Mapping):
        return {}, text  # a text between two rules, not front matter
    return {str(key): _plain(value) for key, value in front.items()}, text[closing.end() :]


def _own_note(front: Mapping[str, Any], content: str) -> Record:
    """A memory that jmem wrote out; keys its reader added are kept in its metadata."""
    metadata = front.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise Invalid("metadata must be a mapping", code="bad_front_matter", field="metadata")
    added = {key: value for key, value in front.items() if key not in _OWN and key not in _IGNORED}
    fields = {name: front[name] for name in _OWN if name in front}
    fields |= {"content": content, "tags": _tags(front.get("tags"), ""), "metadata": {**metadata, **added}}
    version = front.get("version")
    return Record(checked(fields), front["id"], version if isinstance(version, str) else None, complete=True)


def _foreign_note(path: str, front: Mapping[str, Any], body: str) -> list[Record]:
    """The pieces of somebody's Markdown: front matter goes to fields of the same name, else to metadata."""
    place = path[-MAX_NAME_CHARS:] or "note"
    common: dict[str, Any] = {"source": place, "thread": place}
    metadata: dict[str, Any] = {}
    for key, value in front.items():
        name = "occurred_at" if key == "date" else key
        if key == "tags" or value is None:
            continue
        if key == "metadata" and isinstance(value, Mapping):
            metadata |= value
        elif name in _OWN and name != "supersedes" and _fits(name, value):
            common[name] = value
        else:
            metadata[key] = value
    common |= {"tags": _tags(front.get("tags"), "#"), "metadata": metadata}
    pieces = split_markdown(body)
    if not pieces:
        raise Invalid("the file has no text below its front matter", code="empty")
    return [Record(checked({**common, "content": piece})) for piece in pieces]


def _fits(name: str, value: Any) -> bool:
    try:
        check_field(name, value)
    except JmemError:
        return False
    return True


def _tags(value: Any, mark: str) -> list[str]:
    """A list, or a text with commas or spaces between the tags; `mark` before a tag is left out."""
    if value is None:
        return []
    if isinstance(value, str):
        value = value.split(",") if "," in value else value.split()
    elif not isinstance(value, list):
        value = [value]
    texts = (tag if isinstance(tag, str) else json.dumps(tag, ensure_ascii=False) for tag in value if tag is not None)
    tags: list[str] = check_field("tags", [tag for text in texts if (tag := text.strip().removeprefix(mark))])
    return tags


# ---- YAML -------------------------------------------------------------------------------------


def _plain(value: Any, depth: int = 0) -> Any:
    """What YAML gave, as JSON: dates and the like as text."""
    if depth > MAX_DEPTH:
        raise Invalid("the front matter is nested too deeply", code="bad_front_matter")
    if isinstance(value, Mapping):
        return {str(key): _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= 2**53 - 1 else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    return str(value)


@cache
def _loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        """The safe loader without what makes a few lines cost much: aliases, and brackets in brackets without end."""

        def fetch_flow_collection_start(self, TokenClass: Any) -> None:
            if self.flow_level >= MAX_DEPTH:
                raise yaml.YAMLError("it is nested too deeply")
            super().fetch_flow_collection_start(TokenClass)

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("aliases are not read")
            return super().compose_node(parent, index)

    return Loader


def _load(source: str) -> Any:
    import yaml

    try:
        return yaml.load(source, Loader=_loader())
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 2}" if where is not None else ""
        reason = getattr(error, "problem", None) or (str(error).split("\n")[0][:100] or type(error).__name__)
        raise Invalid(f"the front matter is no YAML{line}: {reason}", code="bad_front_matter",
                      fix="mend the lines between --- and ---, or remove them") from None  # fmt: skip


@cache
def _dumper() -> type[yaml.SafeDumper]:
    import yaml

    class Dumper(yaml.SafeDumper):
        """The safe dumper, with double quotes where YAML's other forms fold or lose a character."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = '"' if _DELICATE.search(value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper


def _dump(front: Mapping[str, Any]) -> str:
    import yaml

    text: str = yaml.dump(dict(front), Dumper=_dumper(), allow_unicode=True, sort_keys=False, width=2**31)
    return text
