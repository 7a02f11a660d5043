"""What connecting or disconnecting a client would change, as plain data; then doing it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmem.cli.connect import files
from jmem.cli.connect.document import Document
from jmem.cli.connect.place import Client, Launch, Machine, Place, is_ours, merged
from jmem.cli.connect.record import Connection, Written
from jmem.core.errors import Conflict, Invalid
from jmem.core.model import now_iso


def server_name(user: str) -> str:
    """How the server is called in a client: jmem, or jmem-NAME for another user than the default one."""
    return "jmem" if user == "default" else f"jmem-{user}"


@dataclass(frozen=True)
class Change:
    """One file: as it is, and as it would be. `after` is None when the file would go."""

    place: Place
    before: files.Snapshot
    after: bytes | None
    made: tuple[str, ...] = ()
    """the key for servers, when the change makes it"""
    foreign: bool = False
    """a server of the same name that jmem did not write would be replaced"""
    restores: str | None = None
    """the backup whose bytes `after` has"""

    @property
    def needed(self) -> bool:
        """Whether anything would change."""
        return self.before.content != self.after

    def diff(self) -> list[str]:
        """The lines of a unified diff, without line ends."""
        old = (self.before.content or b"").decode("utf-8", "replace").splitlines()
        new = (self.after or b"").decode("utf-8", "replace").splitlines()
        path = str(self.place.path)
        head = ("/dev/null" if self.before.content is None else path, "/dev/null" if self.after is None else path)
        return list(difflib.unified_diff(old, new, *head, lineterm=""))


def entry_of(place: Place, user: str) -> Any:
    """The server's entry in a client's file, None where there is none; raises Invalid when the file is broken."""
    return Document.of(place, files.read(place.path)).get((*place.keys, server_name(user)))


def connecting(client: Client, machine: Machine, user: str, launch: Launch) -> list[Change]:
    """What connecting changes, one for each file; raises Invalid when a file is broken."""
    return [_with(place, user, launch) for place in client.used(machine)]


def _with(place: Place, user: str, launch: Launch) -> Change:
    before = files.read(place.path)
    document = Document.of(place, before)
    path = (*place.keys, server_name(user))
    old = document.get(path)
    want = merged(old, place.entry(launch))
    if old == want:
        return Change(place, before, before.content)
    made = place.keys if document.get(place.keys) is None else ()
    return Change(place, before, document.put(path, want).text.encode(), made, old is not None and not is_ours(old))


def disconnecting(client: Client, machine: Machine, user: str, known: Connection | None) -> list[Change]:
    """What disconnecting changes; raises Invalid for a broken file, Conflict for a server that jmem did not write.

    A broken file that jmem has no record of having written is left as it is.
    """
    written = {w.path: w for w in known.files} if known else {}
    return [
        _without(place, user, written.get(str(place.path))) for place in client.places(machine) if place.path.exists()
    ]


def _without(place: Place, user: str, written: Written | None) -> Change:
    before = files.read(place.path)
    if written and before.digest == written.digest:  # nobody wrote it since: back to the very bytes it had
        if written.backup is None:
            return Change(place, before, None)
        content = files.read(Path(written.backup)).content
        if content is not None:
            return Change(place, before, content, restores=written.backup)
    path = (*place.keys, server_name(user))
    try:
        document = Document.of(place, before)
        entry = document.get(path)
    except Invalid:
        if written:
            raise
        return Change(place, before, before.content)
    if entry is None:
        return Change(place, before, before.content)
    if not is_ours(entry):
        raise Conflict(
            f"{place.path} has a server called {path[-1]!r} that jmem did not write",
            code="foreign_entry",
            fix=f"remove it from {place.path} by hand",
        )
    document = document.remove(path)
    if written and written.made and document.get(written.made) == {}:
        document = document.remove(written.made)
    return Change(place, before, document.text.encode())


def apply(changes: Sequence[Change], known: Connection | None, client: str, user: str, form: str) -> Connection:
    """Write the changes of a connection, each with a backup; what to note about it."""
    older = {w.path: w for w in known.files} if known else {}
    notes = []
    for change in changes:
        path = str(change.place.path)
        was = older.get(path)
        if change.needed:
            if was is None or was.digest != change.before.digest:
                copy = files.back_up(change.before)
                was = Written(path, "", str(copy) if copy else None, (), change.made)
            folders = tuple(map(str, files.replace(change.before, change.after)))
            was = Written(path, files.digest(change.after or b""), was.backup, was.folders or folders, was.made)
        if was is not None:
            notes.append(was)
    return Connection(client, user, form, now_iso(), tuple(notes))


def undo(changes: Sequence[Change], known: Connection | None) -> list[Path]:
    """Write the changes of a disconnection; the backups made of files that somebody else wrote meanwhile."""
    folders = {w.path: w.folders for w in known.files} if known else {}
    copies = []
    for change in changes:
        if not change.needed:
            continue
        whole = change.after is None or change.restores is not None
        copy = None if whole else files.back_up(change.before)
        files.replace(change.before, change.after)
        if change.restores:
            Path(change.restores).unlink(missing_ok=True)
        if change.after is None:
            files.remove_folders([Path(f) for f in folders.get(str(change.place.path), ())])
        if copy:
            copies.append(copy)
    return copies
