"""Import and export over a real store: every item stands for itself, and nothing is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jmem.core.access import AccessLog
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import Invalid, Refused
from jmem.core.filter import Filter
from jmem.core.model import MAX_CONTENT_BYTES, Memory, now_iso
from jmem.core.portable import jsonl
from jmem.core.portable.exporting import EVERYTHING, export_jsonl, export_markdown
from jmem.core.portable.importing import Report, import_items
from jmem.core.portable.markdown import parse_note, write_note
from jmem.core.portable.split import MOST, TARGET, split_markdown, split_text
from jmem.core.purge import read_purged
from jmem.core.service import MemoryService
from jmem.core.store import Store

OWNER = Actor("cli")
TOKEN = "ghp_" + "a1B2" * 9


class Home:
    """Services over stores in temporary folders, closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.services: list[MemoryService] = []

    def service(self) -> MemoryService:
        folder = self.folder / str(len(self.services))
        self.services.append(MemoryService(Store.open(folder), AccessLog(folder)))
        return self.services[-1]

    def close(self) -> None:
        for service in self.services:
            service.store.close()
            service.access.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    made.close()


@pytest.fixture
def service(home: Home) -> MemoryService:
    return home.service()


def contents(service: MemoryService) -> list[str]:
    return [m.content for m in memories(service)]


def memories(service: MemoryService, **filter: Any) -> list[Memory]:
    return service.list(Filter(**{"states": (), **filter}), OWNER, limit=1000, sort="created").memories


def lines(service: MemoryService, filter: Filter = EVERYTHING, **how: Any) -> list[str]:
    return list(export_jsonl(service.store, filter, now_iso(), **how))


def take(service: MemoryService, lines: list[str], **how: Any) -> Report:
    return import_items(service, [json.loads(line) for line in lines], OWNER, **how)


def notes(service: MemoryService, filter: Filter = EVERYTHING) -> list[dict[str, str]]:
    return [json.loads(line) for line in export_markdown(service.store, filter, now_iso())]


# ---- plain JSONL ------------------------------------------------------------------------------


def test_a_plain_object_keeps_all_it_says(service: MemoryService) -> None:
    item = {
        "content": "Prefers aisle seats", "tags": ["travel", "seat"], "metadata": {"n": 1.5, "deep": {"a": [1]}},
        "source": "letters.txt", "thread": "t1", "speaker": "Ann", "occurred_at": "2023-05-08", "client": "claude",
    }  # fmt: skip
    report = import_items(service, [item, {"content": "Plain"}], OWNER, client="mem0")
    assert (report.added, report.duplicates, report.skipped) == (2, 0, [])
    first, second = memories(service)
    assert {name: first.as_dict()[name] for name in item if name != "occurred_at"} == {
        name: value for name, value in item.items() if name != "occurred_at"
    }
    assert first.occurred_at is not None
    assert first.occurred_at[:7] == "2023-05"
    assert second.client == "mem0"
    again = import_items(service, [item, {"content": "Plain"}], OWNER, client="mem0")
    assert (again.added, again.duplicates) == (0, 2)
    assert len(service.log(OWNER)[0]) == 1


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"text": "x"}, "unknown_field"), ({"content": ""}, "invalid"), ({}, "invalid"), ([], "not_an_object"),
        ("x", "not_an_object"), (None, "not_an_object"), ({"content": 5}, "invalid"), ({"content": "a\0b"}, "invalid"),
        ({"content": "\ud800"}, "invalid"), ({"content": "x", "tags": "work"}, "invalid"),
        ({"content": "x", "tags": ["a"] * 3 + ["b" * 65]}, "too_large"), ({"content": "x", "occurred_at": "soon"}, "invalid"),
        ({"content": "x", "metadata": []}, "invalid"), ({"content": "x", "client": "Claude Desktop"}, "invalid"),
        ({"content": "x", "id": "17"}, "bad_id"), ({"content": "x", "deleted": True}, "deleted"),
        ({"content": "x", "state": "draft"}, "invalid"), ({"content": "x", "importance": 5}, "unknown_field"),
        ({"id": "0199f3a1-c2d4-7b3e-9c1a-0123456789ab", "ops": []}, "bad_op"), ({"ops": [{}]}, "bad_id"),
        ({"id": "0199f3a1-c2d4-7b3e-9c1a-0123456789ab", "ops": ["x"]}, "bad_op"),
        ({"id": "0199f3a1-c2d4-7b3e-9c1a-0123456789ab", "ops": [{"stamp": 1}]}, "bad_op"),
    ],
)  # fmt: skip
def test_a_bad_line_is_reported_and_stops_no_other(service: MemoryService, item: Any, code: str) -> None:
    report = import_items(service, [{"content": "before"}, item, {"content": "after"}], OWNER)
    assert contents(service) == ["before", "after"]
    assert [(entry["item"], entry["code"]) for entry in report.skipped] == [(1, code)]
    assert report.skipped[0]["reason"]


def test_what_list_and_search_print_can_be_imported(home: Home, service: MemoryService) -> None:
    service.add(Draft("One", tags=("a",), metadata={"k": 1}, state="archived", privacy="local"), OWNER)
    service.add(Draft("Two", expires_at="2999-01-01T00:00:00Z"), OWNER)
    printed = [{**m.as_dict(), "score": 0.5, "also": []} for m in memories(service)]
    other = home.service()
    assert import_items(other, printed, OWNER).added == 2
    keep = ("id", "content", "tags", "metadata", "state", "privacy", "expires_at", "created_at", "client")
    assert [{k: m.as_dict()[k] for k in keep} for m in memories(other)] == [{k: m[k] for k in keep} for m in printed]
    assert import_items(service, printed, OWNER).duplicates == 2


def test_a_dry_run_says_what_would_happen_and_changes_nothing(service: MemoryService) -> None:
    service.add(Draft("here"), OWNER)
    before = lines(service)
    items = [{"content": "here"}, {"content": "new"}, {"content": "new"}, {"content": f"key {TOKEN}"}, {"x": 1}]
    report = import_items(service, items, OWNER, dry_run=True)
    assert (report.added, report.duplicates, len(report.skipped), len(report.masked)) == (2, 2, 1, 1)
    assert report.action is None
    assert lines(service) == before
    assert import_items(service, items, OWNER).added == 2


def test_secrets_are_masked_refused_or_allowed(home: Home) -> None:
    item = {"content": f"my key is {TOKEN}", "metadata": {"password": "hunter22"}}
    masked, refused, allowed = home.service(), home.service(), home.service()
    report = import_items(masked, [item], OWNER)
    assert report.masked == [{"item": 0, "kinds": ["github_token", "password"]}]
    assert contents(masked) == ["my key is [secret: github_token]"]
    assert memories(masked)[0].metadata == {"password": "[secret: password]"}
    assert import_items(masked, [item], OWNER).duplicates == 1
    report = import_items(refused, [item], OWNER, secrets="refuse")
    assert [(e["item"], e["code"]) for e in report.skipped] == [(0, "secret_found")]
    assert contents(refused) == []
    assert import_items(allowed, [item], OWNER, secrets="allow").masked == []
    assert contents(allowed) == [item["content"]]


def test_a_long_text_is_split_into_a_thread(service: MemoryService) -> None:
    text = " ".join(f"Sentence number {n} says something of its own." for n in range(3000))
    assert len(text) > MAX_CONTENT_BYTES
    report = import_items(service, [{"content": text, "source": "book.txt", "tags": ["book"]}], OWNER)
    found = memories(service)
    assert report.added == len(found) > 50
    assert {(m.thread, m.source, m.tags) for m in found} == {("book.txt", "book.txt", ("book",))}
    assert "".join("".join(m.content for m in found).split()) == "".join(text.split())
    assert import_items(service, [{"content": text, "source": "book.txt"}], OWNER).added == 0
    bare = import_items(service, [{"content": text}], OWNER)
    assert bare.added == len(found)
    assert len({m.thread for m in memories(service)}) == 2


def test_batches_of_one_file_are_one_action(service: MemoryService) -> None:
    first = import_items(service, [{"content": f"a{n}"} for n in range(600)], OWNER)
    service.add(Draft("between"), OWNER)
    second = import_items(service, [{"content": f"b{n}"} for n in range(10)], OWNER, action=first.action)
    assert first.action == second.action
    service.undo(OWNER, n=2)  # the add in between, and the whole import
    assert contents(service) == []
    service.undo(OWNER, n=2, redo=True)
    assert len(contents(service)) == 611


def test_bad_arguments_are_refused(service: MemoryService) -> None:
    item = [{"content": "x"}]
    for how in ({"format": "xml"}, {"secrets": "hide"}, {"client": "Not A Name"}):
        with pytest.raises(Invalid):
            import_items(service, item, OWNER, **how)  # type: ignore[arg-type]
    for items in ([], item * 1001):
        with pytest.raises(Invalid):
            import_items(service, items, OWNER)
    with pytest.raises(Refused):
        import_items(service, item, Actor("claude", tags=("work",)))
    assert contents(service) == []


# ---- whole JSONL ------------------------------------------------------------------------------


def history(service: MemoryService) -> dict[str, str]:
    """A store with every kind of past; name -> id."""
    plain = service.add(Draft("Plain"), OWNER).memory.id
    edited = service.add(Draft("First", tags=("a",), metadata={"b": 2.0, "a": 1}), OWNER).memory.id
    service.edit(edited, {"content": "Second", "metadata": {"z": 1, "a": [1.50, None]}}, Actor("claude"))
    deleted = service.add(Draft("Deleted", thread="t"), OWNER).memory.id
    service.delete(deleted, OWNER)
    restored = service.add(Draft("Back", state="paused", privacy="local"), OWNER).memory.id
    service.delete(restored, OWNER)
    service.restore(restored, OWNER)
    purged = service.add(Draft("Gone for ever"), OWNER).memory.id
    service.purge(purged, OWNER)
    return {"plain": plain, "edited": edited, "deleted": deleted, "restored": restored, "purged": purged}


def test_export_import_export_is_byte_identical(home: Home, service: MemoryService) -> None:
    ids = history(service)
    exported = lines(service)
    assert [json.loads(line)["id"] for line in exported] == sorted(ids.values())
    assert "Gone for ever" not in "".join(exported)
    other = home.service()
    report = take(other, exported)
    assert (report.added, report.duplicates, report.skipped) == (5, 0, [])
    assert lines(other) == exported
    assert memories(other) == memories(service)
    assert other.history(ids["edited"], OWNER) == service.history(ids["edited"], OWNER)
    assert other.restore(ids["deleted"], OWNER).memory.content == "Deleted"
    assert read_purged(other.store.folder) == {ids["purged"]}
    again = take(service, exported)
    assert (again.added, again.duplicates, again.skipped) == (0, 5, [])
    assert lines(service) == exported


def test_imported_history_merges_with_what_happened_since(home: Home, service: MemoryService) -> None:
    ids = history(service)
    exported = lines(service)
    other = home.service()
    take(other, exported)
    other.edit(ids["plain"], {"content": "Changed over there"}, OWNER)
    other.add(Draft("New over there"), OWNER)
    service.edit(ids["plain"], {"tags": ["here"]}, OWNER)
    report = take(service, lines(other))
    assert (report.added, report.updated) == (1, 1)
    merged = service.get(ids["plain"], OWNER)
    assert (merged.content, merged.tags) == ("Changed over there", ("here",))
    take(other, lines(service))
    assert lines(other) == lines(service)


def test_an_import_never_revives_and_never_forgets(home: Home, service: MemoryService) -> None:
    ids = history(service)
    exported = lines(service)
    service.delete(ids["plain"], OWNER)
    service.purge(ids["edited"], OWNER)
    report = take(service, exported)
    assert {json.loads(exported[e["item"]])["id"]: e["code"] for e in report.skipped} == {
        ids["plain"]: "deleted",
        ids["edited"]: "purged",
    }
    assert "Plain" not in contents(service)
    elsewhere = home.service()
    take(elsewhere, [line for line in exported if ids["plain"] in line])
    elsewhere.purge(ids["plain"], OWNER)
    third = home.service()
    take(third, exported)
    report = take(third, lines(elsewhere))
    assert [e["code"] for e in report.skipped] == ["purged"]
    assert "Plain" in contents(third)


def test_a_line_that_was_changed_is_refused_as_a_whole(home: Home, service: MemoryService) -> None:
    ids = history(service)
    exported = [json.loads(line) for line in lines(service)]
    edited = next(item for item in exported if item["id"] == ids["edited"])
    tampered = json.loads(json.dumps(edited))
    tampered["ops"][1]["set"]["content"] = "Third"
    foreign = {**edited, "ops": [*edited["ops"], exported[0]["ops"][0]]}
    reused = json.loads(json.dumps(edited))
    other = home.service()
    report = import_items(other, [tampered, foreign, exported[0]], OWNER)
    assert [e["code"] for e in report.skipped] == ["bad_digest", "bad_op"]
    assert contents(other) == ["Plain"]
    take(other, [json.dumps(edited)])
    from jmem.core.model import Op

    op = Op.parse(json.dumps(reused["ops"][0]))
    forged = Op(op.stamp, op.id, {"content": "Forged"}, (), "cli", "ab" * 16).sealed()
    reused["ops"] = [json.loads(forged.text())]
    assert [e["code"] for e in import_items(other, [reused], OWNER).skipped] == ["stamp_reuse"]
    ahead = Op("ffffffffffff-0000-00000000", ids["edited"], {"content": "Ahead"}, (), "cli", "ab" * 16).sealed()
    line = {"id": ids["edited"], "ops": [json.loads(ahead.text())]}
    assert [e["code"] for e in import_items(other, [line], OWNER).skipped] == ["clock_skew"]
    assert other.get(ids["edited"], OWNER).content == "Second"
    cut = {"id": ids["plain"], "ops": [json.loads(Op.parse(json.dumps(exported[0]["ops"][0])).blanked().text())]}
    assert [e["code"] for e in import_items(other, [cut], OWNER).skipped] == ["bad_op"]


def test_a_very_long_history_takes_several_lines(
    home: Home, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_CHARS", 3_000)
    id = service.add(Draft("v0 " + "x" * 1_000), OWNER).memory.id
    for n in range(1, 8):
        service.edit(id, {"content": f"v{n} " + "x" * 1_000}, OWNER)
    exported = lines(service)
    assert [json.loads(line).get("part", 1) for line in exported] == [1, 2, 3, 4]
    other = home.service()
    report = take(other, exported)
    assert (report.added, report.updated, report.duplicates, report.skipped) == (1, 0, 0, [])
    assert lines(other) == exported
    assert take(other, exported[::-1]).duplicates == 1


def test_fields_of_a_newer_version_are_carried(home: Home, service: MemoryService) -> None:
    from jmem.core.model import Op, new_id

    id = new_id()
    op = Op("0199f3a1c2d4-0003-a1b2c3d4", id, {"content": "x", "mood": {"joy": 0.5}}, (), "cli", "ab" * 16)
    line = {"id": id, "ops": [json.loads(op.sealed().text())]}
    assert import_items(service, [line], OWNER).added == 1
    exported = lines(service)
    assert '"mood":{"joy":0.5}' in exported[0]
    other = home.service()
    take(other, exported)
    assert lines(other) == exported


def test_secrets_in_a_history_are_kept_and_named(home: Home, service: MemoryService) -> None:
    service.add(Draft(f"my key is {TOKEN}", secrets="allow"), OWNER)
    exported = lines(service)
    other = home.service()
    report = take(other, exported)
    assert report.kept == [{"item": 0, "kinds": ["github_token"]}]
    assert lines(other) == exported
    assert [e["code"] for e in take(home.service(), exported, secrets="refuse").skipped] == ["secret_found"]


def test_an_export_can_be_narrowed_and_is_one_snapshot(service: MemoryService) -> None:
    history(service)
    service.add(Draft("Work", tags=("work",)), OWNER)
    assert [json.loads(x)["content"] for x in lines(service, Filter(tags=("work",)))] == ["Work"]
    live = [json.loads(x) for x in lines(service, history=False)]
    assert sorted(x["content"] for x in live) == ["Back", "Plain", "Second", "Work"]
    assert all("ops" not in x for x in live)
    assert len(lines(service, Filter(states=("paused",)))) == 1
    stream = export_jsonl(service.store, EVERYTHING, now_iso())
    first = next(stream)
    service.add(Draft("Later"), OWNER)
    assert "Later" not in first + "".join(stream)


# ---- Markdown ---------------------------------------------------------------------------------


def test_notes_come_back_as_the_same_memories(home: Home, service: MemoryService) -> None:
    service.add(Draft("Prefers aisle seats!\n\nAlways.", tags=("travel", "no: yes"), metadata={"n": 1, "x": None},
                      occurred_at="2023-05-08T10:00:00Z", speaker="Ann", thread="t"), OWNER)  # fmt: skip
    service.add(Draft("Überraschung 日本語", state="archived"), OWNER)
    files = notes(service)
    assert [f["path"].rpartition("-")[0] for f in files] == [
        "2023-05-08-prefers-aisle-seats-always",
        f"{now_iso()[:10]}-überraschung-日本語",
    ]
    assert len({f["path"] for f in files}) == 2
    assert import_items(service, files, OWNER, format="md").duplicates == 2
    other = home.service()
    assert import_items(other, files, OWNER, format="md").added == 2
    drop = ("version", "updated_at")
    plain = [{k: v for k, v in m.as_dict().items() if k not in drop} for m in memories(service)]
    assert [{k: v for k, v in m.as_dict().items() if k not in drop} for m in memories(other)] == plain


def test_an_edited_note_edits_its_memory(service: MemoryService) -> None:
    memory = service.add(Draft("Old text", tags=("a", "b"), speaker="Ann"), OWNER).memory
    (file,) = notes(service)
    text = file["text"].replace("Old text", "New text").replace("- b\n", "").replace("speaker: Ann\n", "mood: glad\n")
    report = import_items(service, [{"path": "x.md", "text": text}], OWNER, format="md")
    assert (report.added, report.updated) == (0, 1)
    edited = service.get(memory.id, OWNER)
    assert (edited.content, edited.tags, edited.speaker, edited.metadata) == (
        "New text",
        ("a",),
        None,
        {"mood": "glad"},
    )
    assert [r.kind for r in service.history(memory.id, OWNER).revisions] == ["add", "edit"]


def test_an_old_note_does_not_take_back_a_newer_edit(service: MemoryService) -> None:
    memory = service.add(Draft("Old text", tags=("a",)), OWNER).memory
    (file,) = notes(service)
    service.edit(memory.id, {"content": "Newer text"}, OWNER)
    assert import_items(service, [file], OWNER, format="md").duplicates == 1
    assert service.get(memory.id, OWNER).content == "Newer text"
    tagged = {**file, "text": file["text"].replace("- a\n", "- a\n- b\n")}
    assert import_items(service, [tagged], OWNER, format="md").updated == 1
    merged = service.get(memory.id, OWNER)
    assert (merged.content, merged.tags) == ("Newer text", ("a", "b"))


def test_notes_of_deleted_and_purged_memories_stay_out(service: MemoryService) -> None:
    kept, gone = (service.add(Draft(text), OWNER).memory.id for text in ("one", "two"))
    files = notes(service)
    service.delete(kept, OWNER)
    service.purge(gone, OWNER)
    report = import_items(service, files, OWNER, format="md")
    assert sorted(e["code"] for e in report.skipped) == ["deleted", "purged"]
    assert contents(service) == []


def test_foreign_markdown_is_split_at_headings(service: MemoryService) -> None:
    text = (
        "\ufeff---\r\ntags: [travel, '#food']\r\ndate: 2023-05-08\r\naliases: [Rome]\r\nstate: draft\r\n---\r\n"
        "# Rome\r\n\r\n## Flights\r\nAisle seats #inline.\r\n\r\nNo layovers.\r\n\r\n```sh\r\n# no heading\r\n```\r\n"
        "## Food\r\nLikes artichokes.\r\n"
    )
    report = import_items(service, [{"path": "trips/rome.md", "text": text}], OWNER, format="md")
    assert report.added == 2
    first, second = memories(service)
    assert first.content == "# Rome\n\n## Flights\nAisle seats #inline.\n\nNo layovers.\n\n```sh\n# no heading\n```"
    assert second.content == "## Food\nLikes artichokes."
    for memory in (first, second):
        assert (memory.source, memory.thread, memory.tags) == ("trips/rome.md", "trips/rome.md", ("travel", "food"))
        assert memory.metadata == {"aliases": ["Rome"], "state": "draft"}
        assert memory.occurred_at is not None
    again = import_items(service, [{"path": "trips/rome.md", "text": text}], OWNER, format="md")
    assert (again.added, again.duplicates) == (0, 2)


@pytest.mark.parametrize(
    ("front", "tags"),
    [
        ("tags: one, two", ["one", "two"]), ("tags: one two", ["one", "two"]), ("tags:\n  - '#one'\n  - 2024", ["one", "2024"]),
        ("tags:", []), ("title: x", []), ("tags: a/b", ["a/b"]),
    ],
)  # fmt: skip
def test_tags_of_foreign_notes(front: str, tags: list[str]) -> None:
    (record,) = parse_note("n.md", f"---\n{front}\n---\nbody")
    assert record.fields["tags"] == tags


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("---\njust a rule\n---\nbody", "---\njust a rule\n---\nbody"), ("---\nno end", "---\nno end"),
        ("---\n---\nbody", "body"), ("a\n---\nb", "a\n---\nb"), ("---\n- a\n- b\n---\nbody", "---\n- a\n- b\n---\nbody"),
    ],
)  # fmt: skip
def test_rules_are_not_front_matter(text: str, content: str) -> None:
    (record,) = parse_note("n.md", text)
    assert record.fields["content"] == content


_BOMB = "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b]"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"), (" \n ", "empty"), ("---\ntags: x\n---\n \n", "empty"), ("caf\udce9", "invalid"), ("a\0b", "invalid"),
        ("---\na: [1\n---\nx", "bad_front_matter"), (f"---\n{_BOMB}\n---\nx", "bad_front_matter"),
        ("---\na: !!python/object/apply:os.system ['id']\n---\nx", "bad_front_matter"),
        (f"---\na: {'[' * 20000}\n---\nx", "bad_front_matter"), (f"---\na: {'x' * 70000}\n---\nx", "too_large"),
        (f"---\ntags: ['{'t' * 65}']\n---\nx", "too_large"),
        ("---\nid: 0199f3a1-c2d4-7b3e-9c1a-0123456789ab\nmetadata: 5\n---\nx", "bad_front_matter"),
    ],
)  # fmt: skip
def test_bad_notes_are_reported(service: MemoryService, text: str, code: str) -> None:
    items = [{"path": "bad.md", "text": text}, {"path": "good.md", "text": "good"}]
    report = import_items(service, items, OWNER, format="md")
    assert [(e["item"], e["code"]) for e in report.skipped] == [(0, code)]
    assert contents(service) == ["good"]


def test_a_note_whose_lines_an_editor_turned_to_crlf_is_unchanged(service: MemoryService) -> None:
    service.add(Draft("One\nTwo"), OWNER)
    (file,) = notes(service)
    crlf = {**file, "text": "\ufeff" + file["text"].replace("\n", "\r\n")}
    assert import_items(service, [crlf], OWNER, format="md").duplicates == 1


def test_odd_names_get_files_of_their_own(service: MemoryService) -> None:
    for text in ("../../etc/passwd", "???", "CON", "a" * 300, "日" * 300):
        service.add(Draft(text), OWNER)
    paths = [f["path"] for f in notes(service)]
    assert len(set(paths)) == 5
    assert all("/" not in p and p.endswith(".md") and len(p.encode()) < 200 for p in paths)


def test_front_matter_reads_well() -> None:
    memory = Memory("0199f3a1-c2d4-7b3e-9c1a-0123456789ab", "Aisle seats", ("travel",), client="cli",
                    created_at="2026-11-22T20:13:05.123Z", version="0199f3a1c2d4-0003-a1b2c3d4")  # fmt: skip
    assert write_note(memory) == (
        "---\nid: 0199f3a1-c2d4-7b3e-9c1a-0123456789ab\ncreated_at: '2026-11-22T20:13:05.123Z'\nstate: active\n"
        "privacy: synced\nclient: cli\ntags:\n- travel\nversion: 0199f3a1c2d4-0003-a1b2c3d4\n---\n\nAisle seats\n"
    )


# ---- splitting --------------------------------------------------------------------------------


def test_pieces_are_of_a_reasonable_size() -> None:
    for text in (
        "word " * 20_000,
        "Ein Satz. " * 5_000,
        "x" * 70_000,
        "日本語。" * 20_000,
        "a\u0301" * 40_000,
        "p\n\n" * 9_000,
    ):
        for split in (split_text, split_markdown):
            pieces = split(text)
            assert all(0 < len(piece) <= MOST for piece in pieces)
            assert sum(map(len, pieces)) / len(pieces) > TARGET / 2
            assert "".join("".join(pieces).split()) == "".join(text.split())
    assert not any(piece[0] == "\u0301" for piece in split_text("a\u0301" * 5_000))
    assert split_text(" \n ") == []


def test_ops_of_no_sense_are_refused(service: MemoryService) -> None:
    deep: Any = "x"
    for _ in range(150):
        deep = [deep]
    id = "0199f3a1-c2d4-7b3e-9c1a-0123456789ab"
    op = {"v": 1, "stamp": "0199f3a1c2d4-0003-a1b2c3d4", "id": id, "set": {"content": "x"}, "base": [], "client": "cli",
          "nonce": "ab", "digest": "sha256:00"}  # fmt: skip
    odd = [
        {**op, "set": {"mood": "\ud800"}}, {**op, "set": {"mood": deep}}, {**op, "set": []}, {**op, "set": {"mood": 2**70}},
        {**op, "stamp": None}, {**op, "stamp": "later"}, {**op, "v": 2}, {**op, "base": 5}, {**op, "base": [{}]},
        {**op, "client": 5}, {**op, "digest": None}, {**op, "nonce": []}, {**op, "purge": "yes", "set": {"content": "x"}},
        {**op, "set": {"content": "\ud800"}}, {**op, "set": {"content": ""}}, {**op, "set": {"tags": ["a", "a"]}},
    ]  # fmt: skip
    report = import_items(service, [{"id": id, "ops": [one]} for one in odd], OWNER)
    assert [e["item"] for e in report.skipped] == list(range(len(odd)))
    assert {e["code"] for e in report.skipped} <= {"bad_op", "bad_digest", "upgrade_required", "invalid"}
    assert lines(service) == []
