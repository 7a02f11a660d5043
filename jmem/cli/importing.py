"""Reads what `jmem import` brings in, in batches within the daemon's limits, and adds up the answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from jmem.cli.stdin import decode
from jmem.core.errors import Invalid, JmemError, NotFound
from jmem.wire import dumps, loads

Document = dict[str, Any]

MAX_ITEMS = 500
MAX_BYTES = 2 * 1024 * 1024
MAX_LINE = 8 * 1024 * 1024
_MARKDOWN = (".md", ".markdown", ".txt")
_JSONL = (".jsonl", ".ndjson", ".json")


class Batch:
    """Items with their names in reports; `read` is how many bytes of the file were read so far."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.names: list[int | str] = []
        self.read = 0


class Tally:
    """What all answers add up to."""

    def __init__(self) -> None:
        self.added = 0
        self.updated = 0
        self.duplicates = 0
        self.seen = 0
        self.skipped: list[Document] = []
        self.masked: list[Document] = []
        self.kept: list[Document] = []
        self.action: int | None = None
        """What the next batch joins, so that one undo takes back all of them."""

    def skip(self, name: int | str, error: JmemError) -> None:
        """Count an item that could not even be sent."""
        self.seen += 1
        self.skipped.append({"item": name, "code": error.code, "reason": error.message})

    def take(self, batch: Batch, answer: Document) -> None:
        """Add the answer to a batch, its item numbers turned into those of the whole file."""
        self.added += answer["added"]
        self.updated += answer["updated"]
        self.duplicates += answer["duplicates"]
        self.action = answer["action"]
        self.seen += len(batch.items)
        for name in ("skipped", "masked", "kept"):
            getattr(self, name).extend({**entry, "item": _name(batch, entry["item"])} for entry in answer[name])

    def document(self, dry_run: bool) -> Document:
        """The contract's report."""
        report = {name: getattr(self, name) for name in ("added", "updated", "duplicates", "skipped", "masked", "kept")}
        return {**report, "dry_run": True} if dry_run else report


def _name(batch: Batch, item: Any) -> Any:
    return batch.names[item] if isinstance(item, int) and 0 <= item < len(batch.names) else item


def guess_format(path: str) -> str | None:
    """jsonl or md by the name; a folder is md. Raises NotFound where nothing is there."""
    if path != "-" and not os.path.exists(path):
        raise NotFound(f"{path} does not exist", code="file")
    if os.path.isdir(path) or path.lower().endswith(_MARKDOWN):
        return "md"
    return "jsonl" if path.lower().endswith(_JSONL) else None


def batches(path: str, kind: str, tally: Tally) -> Iterator[Batch]:
    """Everything at `path` ('-' is stdin), batch by batch; raises JmemError where it can't be read."""
    if path != "-" and not os.path.exists(path):
        raise NotFound(f"{path} does not exist", code="file")
    yield from _grouped(_documents(path, tally) if kind == "md" else _lines(path, tally))


Item = tuple[int | str, Any, int, int]
"""name, item, its size, bytes read so far"""


def _grouped(items: Iterator[Item]) -> Iterator[Batch]:
    batch, size = Batch(), 0
    for name, item, wide, read in items:
        if batch.items and (len(batch.items) >= MAX_ITEMS or size + wide > MAX_BYTES):
            yield batch
            batch, size = Batch(), 0
        batch.items.append(item)
        batch.names.append(name)
        batch.read = read
        size += wide
    if batch.items:
        yield batch


def _open(path: str) -> BinaryIO:
    return sys.stdin.buffer if path == "-" else open(path, "rb")


def _lines(path: str, tally: Tally) -> Iterator[Item]:
    """JSON objects, a line each, numbered from 1."""
    read = 0
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            read += len(line)
            try:
                item = _object(line, number)
            except JmemError as error:
                tally.skip(number, error)
                continue
            if item is not None:
                yield number, item, len(line), read


def _object(line: bytes, number: int) -> Document | None:
    text = decode(line, f"line {number}").strip()
    if not text:
        return None
    if len(line) > MAX_LINE:
        raise Invalid(f"line {number} has {len(line):,} bytes", code="too_large")
    try:
        value = loads(text)
    except (ValueError, RecursionError):
        raise Invalid("not JSON", code="bad_json") from None
    if not isinstance(value, dict):
        raise Invalid("not a JSON object", code="bad_json")
    try:
        dumps(value).encode()  # NaN and half of a surrogate pair can be read, but not sent
    except (ValueError, RecursionError):
        raise Invalid("a value in it is not JSON in UTF-8", code="bad_json") from None
    return value


def _documents(path: str, tally: Tally) -> Iterator[Item]:
    """Markdown files as {"path","text"}, named by their path below the folder."""
    read = 0
    for name, source in _markdown_files(path, tally):
        try:
            with _open(source) as file:
                data = file.read(MAX_LINE + 1)
        except OSError as error:
            if not os.path.isdir(path):
                raise
            tally.skip(name, JmemError(error.strerror or str(error), code="file"))
            continue
        read += len(data)
        try:
            if len(data) > MAX_LINE:
                raise Invalid(f"the file is larger than {MAX_LINE:,} bytes", code="too_large")
            text = decode(data, name)
        except JmemError as error:
            tally.skip(name, error)
            continue
        yield name, {"path": name, "text": text}, len(data), read


def _markdown_files(path: str, tally: Tally) -> Iterator[tuple[str, str]]:
    """(name, file) of every Markdown file, in order; hidden ones left out, and what lies outside of the folder."""
    if not os.path.isdir(path):
        yield ("stdin.md" if path == "-" else os.path.basename(path)), path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]  # os.walk does not follow them
        documents = [name for name in files if name.lower().endswith(_MARKDOWN) and not name.startswith(".")]
        for name in sorted(links + documents):
            full = os.path.join(folder, name)
            shown = os.path.relpath(full, path).replace(os.sep, "/")
            if not _is_below(full, path):
                tally.skip(shown, JmemError("it is a link that leads out of the folder", code="file"))
            elif os.path.isfile(full):
                yield shown, full
            elif name in documents:
                tally.skip(shown, JmemError("it is no file", code="file"))


def _is_below(full: str, folder: str) -> bool:
    """Whether a path of a folder, links followed, is still in that folder."""
    root = os.path.realpath(folder)
    return os.path.commonpath([root, os.path.realpath(full)]) == root
