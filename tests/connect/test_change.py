"""Connecting and disconnecting on real files: bytes, modes, links, backups, and files that others wrote meanwhile."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from jmem.cli.connect import CLIENTS, change, files
from jmem.cli.connect.document import Document
from jmem.cli.connect.place import Client, Launch, Machine
from jmem.cli.connect.record import Connection, Connections
from jmem.core.errors import Conflict, Invalid, StorageFailed

LAUNCH = Launch("/opt/jmem", ("mcp", "--client", "x"))
TEXTS = {
    "json": '{\n    "theme": "dark",\n    "%s": {\n        "other": {"command": "npx", "args": ["-y", "o"]}\n    }\n}',
    "jsonc": '// mine\n{\n  "%s": { // servers\n    "other": {"url": "https://example.com"}, // o\n  },\n}\n',
    "toml": '# mine\nmodel = "x"\n\n[%s.other] # o\ncommand = "npx"\n\n[tui]\na = 1\n',
}


class Desk:
    """One client on a machine in a temporary folder."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self.machine = Machine("linux", folder / "home")
        self.record = folder / "jmem"
        self.place = client.places(self.machine)[0]
        self.path = self.place.path

    def write(self) -> str:
        text = TEXTS[self.place.form] % self.place.keys[0]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text)
        return text

    def known(self) -> Connection | None:
        return Connections(self.record).get("default", self.client.name)

    def connect(self, launch: Launch = LAUNCH) -> Connection:
        changes = change.connecting(self.client, self.machine, "default", launch)
        made = change.apply(changes, self.known(), self.client.name, "default", "stdio")
        Connections(self.record).put(made)
        return made

    def disconnect(self) -> list[Path]:
        changes = change.disconnecting(self.client, self.machine, "default", self.known())
        copies = change.undo(changes, self.known())
        Connections(self.record).remove("default", self.client.name)
        return copies

    def backups(self) -> list[Path]:
        return sorted(self.path.parent.glob("*.jmem-backup-*"))


@pytest.fixture(params=sorted(CLIENTS))
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    return Desk(CLIENTS[request.param], tmp_path)


@pytest.fixture
def zed(tmp_path: Path) -> Desk:
    return Desk(CLIENTS["zed"], tmp_path)


def test_connects_with_a_backup_and_is_undone_to_the_byte(desk: Desk) -> None:
    text = desk.write()
    desk.connect()
    assert change.entry_of(desk.place, "default")["command"] == "/opt/jmem"
    [backup] = desk.backups()
    assert backup.read_text() == text
    assert desk.disconnect() == []
    assert desk.path.read_text() == text
    assert desk.backups() == []
    assert desk.known() is None


def test_a_second_time_changes_nothing(desk: Desk) -> None:
    text = desk.write()
    first = desk.connect()
    after = desk.path.read_bytes()
    assert desk.connect().files == first.files
    assert desk.path.read_bytes() == after
    assert len(desk.backups()) == 1
    desk.disconnect()
    assert desk.path.read_text() == text
    assert desk.disconnect() == []
    assert desk.path.read_text() == text


def test_a_file_and_folders_that_jmem_made_go_again(desk: Desk) -> None:
    made = desk.connect()
    assert made.files[0].backup is None
    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600
    desk.disconnect()
    assert not desk.path.exists()
    assert not desk.machine.home.exists()


def test_moved_to_another_command_it_still_goes_back_to_the_first_bytes(desk: Desk) -> None:
    text = desk.write()
    desk.connect()
    desk.connect(Launch("/new/jmem", LAUNCH.args))
    assert change.entry_of(desk.place, "default")["command"] == "/new/jmem"
    desk.disconnect()
    assert desk.path.read_text() == text


def test_what_others_wrote_meanwhile_stays(desk: Desk) -> None:
    text = desk.write()
    desk.connect()
    later = desk.path.read_text().replace("other", "another")
    desk.path.write_text(later)
    copies = desk.disconnect()
    assert desk.path.read_text() == text.replace("other", "another")
    assert [copy.read_text() for copy in copies] == [later]


def test_the_key_for_servers_goes_when_jmem_made_it(zed: Desk) -> None:
    zed.path.parent.mkdir(parents=True)
    zed.path.write_text('{\n  "theme": "dark"\n}\n')
    zed.connect()
    zed.path.write_text(zed.path.read_text().replace("dark", "light"))
    zed.disconnect()
    assert zed.path.read_text() == '{\n  "theme": "light"\n}\n'


def test_mode_and_link_are_kept(desk: Desk) -> None:
    desk.write()
    real = desk.machine.home / "dotfiles" / "settings"
    real.parent.mkdir()
    desk.path.rename(real)
    real.chmod(0o640)
    desk.path.symlink_to(os.path.relpath(real, desk.path.parent))
    desk.connect()
    assert desk.path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert b"/opt/jmem" in real.read_bytes()
    assert [p.parent for p in real.parent.glob("*.jmem-backup-*")] == [real.parent]


def test_the_owner_is_kept(zed: Desk) -> None:
    zed.write()
    owner = 12345 if os.geteuid() == 0 else os.geteuid()
    os.chown(zed.path, owner, -1)
    zed.connect()
    assert {file.stat().st_uid for file in (zed.path, *zed.backups())} == {owner}


@pytest.mark.parametrize("broken", [b'{"a": ', b"\xff\xfe{}", b"[1, 2]", b'{"a" 1}'])
def test_a_broken_file_is_named_and_left_alone(desk: Desk, broken: bytes) -> None:
    desk.path.parent.mkdir(parents=True, exist_ok=True)
    desk.path.write_bytes(broken)
    with pytest.raises(Invalid, match="nothing was changed") as caught:
        desk.connect()
    assert str(desk.path) in caught.value.message
    assert caught.value.code == "broken_client_config"
    assert desk.path.read_bytes() == broken
    assert desk.backups() == []


def test_plain_json_clients_refuse_comments(tmp_path: Path) -> None:
    desk = Desk(CLIENTS["claude"], tmp_path)
    desk.path.parent.mkdir(parents=True)
    desk.path.write_text('{\n  // mine\n  "mcpServers": {}\n}')
    with pytest.raises(Invalid, match="line 2"):
        desk.connect()


def test_a_file_that_changes_at_the_last_moment_is_not_overwritten(zed: Desk) -> None:
    zed.write()
    changes = change.connecting(zed.client, zed.machine, "default", LAUNCH)
    zed.path.write_text("{}")
    with pytest.raises(Conflict, match="nothing was written"):
        change.apply(changes, None, "zed", "default", "stdio")
    assert zed.path.read_text() == "{}"


def test_a_folder_that_cannot_be_written_is_an_error_without_change(zed: Desk) -> None:
    text = zed.write()
    snapshot = files.read(zed.path)
    folder = zed.path.parent.rename(zed.path.parent.with_name("moved"))
    zed.path.parent.write_text("a file is in the way")
    with pytest.raises(StorageFailed, match="can't be read"):
        files.replace(snapshot, b"{}")
    assert (folder / zed.path.name).read_text() == text


def test_a_server_of_the_same_name_that_is_not_ours(zed: Desk) -> None:
    zed.path.parent.mkdir(parents=True)
    zed.path.write_text(json.dumps({"context_servers": {"jmem": {"command": "other"}}}))
    [planned] = change.connecting(zed.client, zed.machine, "default", LAUNCH)
    assert planned.foreign
    with pytest.raises(Conflict, match="did not write"):
        zed.disconnect()


def test_users_have_servers_of_their_own(zed: Desk) -> None:
    text = zed.write()
    zed.connect()
    mid = zed.path.read_text()
    changes = change.connecting(zed.client, zed.machine, "bob", LAUNCH)
    Connections(zed.record).put(change.apply(changes, None, "zed", "bob", "stdio"))
    servers = Document.of(zed.place, files.read(zed.path)).get(zed.place.keys)
    assert sorted(servers) == ["jmem", "jmem-bob", "other"]
    known = Connections(zed.record).get("bob", "zed")
    change.undo(change.disconnecting(zed.client, zed.machine, "bob", known), known)
    assert zed.path.read_text() == mid
    zed.disconnect()
    assert zed.path.read_text() == text


def test_the_diff_names_the_file_and_shows_the_lines(zed: Desk) -> None:
    zed.write()
    [planned] = change.connecting(zed.client, zed.machine, "default", LAUNCH)
    lines = planned.diff()
    assert lines[:2] == [f"--- {zed.path}", f"+++ {zed.path}"]
    assert '+    "jmem": {' in lines
    assert not [line for line in lines[2:] if line.startswith("-")]


def test_a_damaged_record_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "connections.json").write_text("{")
    with pytest.raises(StorageFailed, match="damaged"):
        Connections(tmp_path)
