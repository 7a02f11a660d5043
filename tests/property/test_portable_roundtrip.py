"""Round trips: any history through JSONL, any memory through Markdown, any text through the splitter."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jmem.core.access import AccessLog
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.filter import EVERYTHING, Filter
from jmem.core.model import MAX_NAME_CHARS, Memory, Op, canonical, new_id, new_nonce, now_iso
from jmem.core.portable.exporting import export_jsonl
from jmem.core.portable.importing import import_items
from jmem.core.portable.markdown import parse_note, write_note
from jmem.core.portable.split import MOST, split_markdown, split_text
from jmem.core.service import MemoryService
from jmem.core.store import Store

OWNER = Actor("cli")

_CHARS = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
texts = st.text(_CHARS, min_size=1, max_size=80).filter(lambda text: bool(text.strip()))
awkward = st.sampled_from(
    ["---\na\n---\nb", "\r\na\r", "\n\nx\n\n", "\ufeffx", "null", "- a", "a: b", "'\"", "a\x85\u2028b", "<<", "="]
)
tags = st.lists(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).map(str.strip).filter(bool)
    | st.sampled_from(["#a", "no", "1", "a,b", "[x]"]),
    max_size=4, unique=True,
)  # fmt: skip
leaves = (
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(_CHARS, max_size=20) | awkward
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
values = st.recursive(
    leaves, lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(_CHARS, max_size=6) | awkward, c, max_size=3),
    max_leaves=8,
)  # fmt: skip
metadata = st.dictionaries(st.text(_CHARS, max_size=6) | awkward, values, max_size=3)
moments = st.none() | st.datetimes().map(lambda at: at.isoformat()[:19] + "Z")
names = st.none() | st.text(_CHARS, min_size=1, max_size=MAX_NAME_CHARS).filter(lambda name: bool(name.strip()))

drafts = st.builds(
    Draft, content=texts | awkward, tags=tags.map(tuple), metadata=metadata, occurred_at=moments, source=names,
    thread=names, speaker=names, state=st.sampled_from(["active", "paused", "archived"]),
    privacy=st.sampled_from(["local", "synced"]), secrets=st.just("allow"),
)  # fmt: skip
changes = st.fixed_dictionaries(
    {},
    optional={
        "content": texts | awkward, "tags": tags, "metadata": metadata, "occurred_at": moments, "speaker": names,
        "state": st.sampled_from(["active", "archived"]), "privacy": st.sampled_from(["local", "synced"]),
    },
)  # fmt: skip
steps = st.one_of(
    st.tuples(st.just("add"), drafts),
    st.tuples(st.just("edit"), changes),
    st.tuples(st.just("foreign"), st.dictionaries(st.sampled_from(["mood", "x y", "content"]), texts, min_size=1)),
    st.tuples(st.sampled_from(["delete", "restore", "purge", "undo"]), st.none()),
)


def open_service(folder: Path) -> MemoryService:
    """A service that does not wait for the disk: what is proved here is not durability."""
    folder.mkdir(exist_ok=True)
    store = Store.open(folder)
    store.outside(lambda conn: conn.execute("PRAGMA synchronous = OFF"))
    return MemoryService(store, AccessLog(folder))


def close(service: MemoryService) -> None:
    service.store.close()
    service.access.close()


def everything(service: MemoryService) -> list[str]:
    return list(export_jsonl(service.store, EVERYTHING, now_iso()))


def listed(service: MemoryService) -> list[str]:
    """Every live memory, as JSON: to Python, the float 3e16 and what JSON makes of it are two numbers."""
    page = service.list(Filter(states=(), expired=True), OWNER, sort="created")
    return [canonical(memory.as_dict()) for memory in page.memories]


def perform(service: MemoryService, step: str, value: Any, pick: int) -> None:
    """One step of a history; one that does not apply to the memory picked does nothing."""
    if step == "add":
        service.add(value, OWNER, similar=False)
        return
    if step == "undo":
        service.undo(OWNER)
        return
    with service.store.reader() as conn:
        ids = [id for (id,) in conn.execute("SELECT id FROM memories ORDER BY id")]
    if not ids:
        return
    id = ids[pick % len(ids)]
    if step == "foreign":
        op = Op(f"0199f3a1c2d4-{pick:04x}-a1b2c3d4", id, value, (), "cli", new_nonce()).sealed()
        service.apply_ops([op], OWNER, kind="sync")
        return
    deleted = service.get(id, OWNER, deleted=True).deleted
    if step == "restore":
        service.restore(id, OWNER)
    elif step == "purge":
        service.purge(id, OWNER)
    elif not deleted and step == "edit":
        service.edit(id, value, OWNER, secrets="allow")
    elif not deleted:
        service.delete(id, OWNER)


@pytest.mark.timeout(400)  # Hypothesis would take a time-out on a busy machine for a failure, and shrink it
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(st.tuples(steps, st.integers(0, 9)), min_size=1, max_size=10))
def test_any_history_survives_export_and_import(history: list[tuple[tuple[str, Any], int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        service, other = open_service(Path(folder, "a")), open_service(Path(folder, "b"))
        try:
            for (step, value), pick in history:
                perform(service, step, value, pick)
            exported = everything(service)
            if not exported:
                return
            report = import_items(other, [json.loads(line) for line in exported], OWNER)
            assert report.skipped == []
            assert everything(other) == exported
            assert listed(other) == listed(service)
            again = import_items(other, [json.loads(line) for line in reversed(exported)], OWNER)
            assert (again.added, again.updated) == (0, 0)
            assert everything(other) == exported
        finally:
            close(service)
            close(other)


@settings(max_examples=300, deadline=None)
@given(texts | awkward, tags, metadata, moments, names)
def test_any_memory_survives_markdown(
    content: str, tags: list[str], metadata: dict[str, Any], when: str | None, speaker: str | None
) -> None:
    memory = Memory(new_id(), content, tuple(tags), metadata, occurred_at=when and when[:-1] + ".000Z", speaker=speaker,
                    client="cli", created_at=now_iso(), updated_at=now_iso(), version="0199f3a1c2d4-0003-a1b2c3d4")  # fmt: skip
    (record,) = parse_note("n.md", write_note(memory))
    assert record.id == memory.id
    assert record.version == memory.version
    assert record.fields["content"] == content
    assert record.fields["tags"] == tags
    assert canonical(record.fields["metadata"]) == canonical(metadata)
    assert record.fields.get("occurred_at") == memory.occurred_at
    assert record.fields.get("speaker") == speaker
    assert record.fields["created_at"] == memory.created_at


@settings(max_examples=200, deadline=None)
@given(st.text(_CHARS | st.sampled_from("\n #.。- "), max_size=400), st.integers(1, 30))
def test_no_text_is_lost_by_splitting(text: str, times: int) -> None:
    text *= times
    for split in (split_text, split_markdown):
        pieces = split(text)
        assert "".join("".join(pieces).split()) == "".join(text.split())
        assert all(piece == piece.strip() and 0 < len(piece) <= MOST for piece in pieces)


@settings(max_examples=300, deadline=None)
@given(st.text(_CHARS, max_size=200), st.text(_CHARS, max_size=100))
def test_any_file_is_read_or_refused(front: str, body: str) -> None:
    from jmem.core.errors import JmemError

    for text in (f"---\n{front}\n---\n{body}", front + body):
        try:
            records = parse_note("n.md", text)
        except JmemError:
            continue
        assert records
