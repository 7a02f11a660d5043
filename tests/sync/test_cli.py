"""Two machines with real daemons, one served account, and a person who signs in: every way in, and every way out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import secrets
import shlex
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

import hosted.ops.feed
from bench.home import JMEM, Api, Home, temporary_home, wait_for
from bench.sync_wire import Line
from jmem.core.model import Op, new_id, new_nonce
from tests.hosted.identity.conftest import Running
from tests.hosted.world import Person, World, served
from tests.sync.test_evolution import server_knows_v2

PASSWORD = "correct horse"
PATIENCE_S = 15.0


@dataclass
class Account:
    """The served account and the line to it that machines use."""

    world: World
    line: Line

    @property
    def url(self) -> str:
        return self.line.url


@dataclass
class Machine:
    """A home with a daemon, as one of its users."""

    home: Home
    account: Account
    user: str = "default"

    def jmem(self, *args: str, input: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
        return self.home.jmem(*args, input=input, **more)

    def fails(self, *args: str, input: str = "") -> tuple[int, str]:
        """Exit code and what it said of a command that must fail."""
        done = self.home.jmem(*args, input=input, check=False)
        assert done.returncode, done
        return done.returncode, done.stderr

    def on_a_terminal(self, *args: str) -> str:
        """What a person sees of it."""
        done = subprocess.run(["script", "-qec", shlex.join([JMEM, *args]), "/dev/null"], env=self.home.env, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60, check=True, text=True)  # fmt: skip
        return done.stdout

    def login(self, person: Person, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.jmem("login", "--url", self.account.url, "--email", person.email, "--password-stdin", "--yes",
                         input=PASSWORD, **more)  # fmt: skip

    def api(self) -> contextlib.AbstractContextManager[Api]:
        return contextlib.closing(self.home.api(user=self.user))

    def sync(self) -> dict[str, Any]:
        with self.api() as api:
            return dict(api.must("GET", "/sync"))

    def until(self, state: str) -> dict[str, Any]:
        return wait_for(lambda: found if (found := self.sync())["state"] == state else None, PATIENCE_S, state)

    @property
    def session(self) -> Path:
        ids = json.loads((self.home.path / "users.json").read_text())
        return self.home.path / "users" / str(ids[self.user]) / "session"

    def texts(self) -> set[str]:
        with self.api() as api:
            return {memory["content"] for memory in api.every(state="all")}

    def has(self, *texts: str) -> None:
        wait_for(lambda: set(texts) <= self.texts(), PATIENCE_S, f"{texts} on the machine")


@pytest.fixture(scope="module")
def account(database_url: str, owner_url: str) -> Iterator[Account]:
    with Running() as supabase, served(database_url, owner_url, supabase, vectors=False) as world:
        line = Line(world.url)
        yield Account(world, line)
        line.close()


@pytest.fixture(scope="module")
def homes() -> Iterator[list[Home]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(temporary_home()) for _ in range(2)]


@pytest.fixture
def pair(homes: list[Home], account: Account) -> Iterator[list[Machine]]:
    """Two machines on which nobody was ever signed in: users of their own, whom the daemons do not know yet."""
    account.line.turn("well")
    user = f"user-{secrets.token_hex(4)}"
    made = [Machine(Home(home.path, JMEM_USER=user), account, user) for home in homes]
    for machine in made:
        machine.home.start()
    yield made
    account.line.turn("well")
    for machine in made:
        machine.home.jmem("logout", check=False)


class Browser:
    """A browser without a script, whose person follows what the pages say."""

    def __init__(self, account: Account) -> None:
        self.http = httpx.Client(
            base_url=account.url, headers={"accept": "text/html"}, follow_redirects=True, timeout=20
        )

    def confirm(self, address: str, person: Person, decision: str = "allow") -> httpx.Response:
        """Open the page, sign in where asked, decide, and go where the page sends one."""
        with self.http:
            return self._confirm(address, person, decision)

    def _confirm(self, address: str, person: Person, decision: str) -> httpx.Response:
        page = self.http.get(address)
        if "/sign-in" in str(page.url):
            fields = _fields(page, "/sign-in")
            page = self.http.post("/sign-in", data={**fields, "email": person.email, "password": PASSWORD})
        assert "Connect this computer?" in page.text, page.text
        page = self.http.post("/devices/new", data={**_fields(page, "/devices/new"), "decision": decision})
        found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', page.text)
        assert found, page.text
        self.back = unescape(found[1])
        assert self.back.startswith("http://127.0.0.1:")
        return httpx.get(self.back)


def _fields(page: httpx.Response, action: str) -> dict[str, str]:
    form = next(f for f in re.findall(r"<form.*?</form>", page.text, re.S) if f'action="{action}"' in f)
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form)
    return {name: unescape(value) for name, value in found}


@contextlib.contextmanager
def by_browser(machine: Machine, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`jmem login`, and the address that it prints."""
    process = subprocess.Popen(
        [JMEM, "login", "--url", machine.account.url, "--no-browser", "--yes", *more], env=machine.home.env,
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"http://\S+/devices/new\?\S+", line):
                yield process, found[0]
                break
        else:
            raise AssertionError("no address is printed")
    finally:
        process.kill()
        process.communicate()


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=20)
    return process.returncode, said


# ---- in ---------------------------------------------------------------------------------------


def test_nothing_leaves_before_it_is_agreed_and_what_is_private_never_does(
    pair: list[Machine], account: Account
) -> None:
    one, other = pair
    me = account.world.person()
    account.line.record = bytearray()
    one.jmem("add", "I prefer aisle seats")
    one.jmem("add", "--local", "my diagnosis is marigold")
    gone = one.jmem("add", "--quiet", "I was wrong about this").stdout.strip()
    one.jmem("rm", gone, "--yes")
    code, said = one.fails("login", "--url", account.url, "--email", me.email, "--password-stdin", input=PASSWORD)
    assert (code, "--yes" in said) == (6, True)
    assert "1 memory and 1 deleted memory (42 bytes of text) would go" in said
    assert "I prefer aisle seats" in said
    assert "(deleted) I was wrong about this" in said
    assert "1 private" in said
    assert "marigold" not in said
    assert account.line.record == b"", "nothing is asked before the person agreed"
    code, said = one.fails(
        "login", "--url", account.url, "--email", me.email, "--password-stdin", "--yes", input="wrong"
    )
    assert (code, "Invalid login credentials" in said) == (4, True)
    assert "aisle" not in account.line.record.decode(errors="replace")

    said = one.login(me).stderr
    assert "which only you can read (there is no keyring)" in said, "where the proof lies is said aloud"
    with by_browser(other, "--timeout", "20") as (process, address):
        done = Browser(account).confirm(address, me)
        assert "You can close this window" in done.text
        style = done.text.partition("<style>")[2].partition("</style>")[0].encode()
        digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
        assert done.headers["content-security-policy"] == f"default-src 'none'; style-src 'sha256-{digest}'"
        code, said = finished(process)
    assert (code, f"signed in to {account.url} as {me.email}" in said) == (0, True)

    other.has("I prefer aisle seats")
    account.line.turn("down")
    one.jmem("add", "one was offline")
    other.jmem("add", "so was the other")
    me.add("and this is from the page")
    account.line.turn("well")
    for machine in pair:
        machine.jmem("sync", "now")
    for machine in pair:
        machine.has("I prefer aisle seats", "one was offline", "so was the other", "and this is from the page")
    listed = me.must("GET", "/memories")["memories"]
    assert {m["content"] for m in listed} == other.texts() == one.texts() - {"my diagnosis is marigold"}
    assert b"aisle" in account.line.record
    assert b"marigold" not in account.line.record
    account.line.record = None


def test_a_browser_that_cancels_or_does_not_come(pair: list[Machine], account: Account) -> None:
    one, me = pair[0], account.world.person()
    with by_browser(one, "--timeout", "20") as (process, address):
        port = re.search(r"port=(\d+)", address)
        assert port
        assert httpx.get(f"http://127.0.0.1:{port[1]}/?code=forged&state=wrong").status_code == 404
        assert httpx.get(f"http://127.0.0.1:{port[1]}/favicon.ico").status_code == 404
        assert "not connected" in Browser(account).confirm(address, me, "deny").text
        code, said = finished(process)
    assert (code, "cancelled in the browser" in said) == (6, True)
    code, said = one.fails("login", "--url", account.url, "--no-browser", "--timeout", "1", "--yes")
    assert (code, "--email ADDRESS" in said) == (3, True)
    assert one.fails("whoami")[0] == 4


def test_a_mailed_code_an_api_key_and_a_key_in_the_settings(pair: list[Machine], account: Account) -> None:
    one, other = pair
    me = account.world.person()
    me.add("from the page")
    said = one.jmem("login", "--url", account.url, "--email", me.email, "--yes").stderr
    assert "a code was mailed" in said
    assert "--code CODE" in said
    mailed = account.world.supabase.mail(me.email)["token"]
    one.jmem("login", "--url", account.url, "--email", me.email, "--code", mailed, "--yes")
    one.has("from the page")
    assert one.fails("login", "--url", account.url, "--email", me.email, "--code", mailed, "--yes")[0] == 4, "used"

    key = me.must("POST", "/keys", {"name": "server"})["key"]
    assert other.fails("login", "--url", account.url, "--token-stdin", "--yes", input="jmk_wrong")[0] == 4
    other.jmem("login", "--url", account.url, "--token-stdin", "--yes", input=key)
    other.has("from the page")
    assert other.home.json("whoami")["account"] == str(me.user)

    other.home.stop()
    server = Machine(Home(other.home.path, JMEM_HOSTED_URL=account.url, JMEM_TOKEN=key), account)
    server.home.start()
    server.has("from the page")
    assert f"an API key at {account.url}" in server.jmem("sync").stdout
    code, said = server.fails("logout")
    assert (code, "JMEM_TOKEN" in said) == (6, True)
    server.home.stop()


def test_without_an_address_or_a_network(pair: list[Machine], account: Account) -> None:
    one, me = pair[0], account.world.person()
    assert "jmem config set hosted.url" in one.fails("login", "--yes")[1]
    for url in ("example.com", "http://127.0.0.1.evil.com"):
        code, said = one.fails("login", "--url", url, "--yes")
        assert (code, "https://" in said) == (2, True)
    with one.api() as api:
        answer = api.call("POST", "/api/v1/account/login", {"url": "http://localhost.evil.com", "token": "jmk_x"})
    assert (answer.status, answer.body["code"]) == (422, "bad_address"), "no key goes there"
    asked = ("--email", me.email, "--password-stdin", "--yes")
    code, said = one.fails("login", "--url", account.world.supabase.url, *asked, input=PASSWORD)
    assert (code, "it answers 404\n" in said, "repeat the command" in said) == (1, True, True)
    account.line.turn("down")
    code, said = one.fails("login", "--url", account.url, *asked, input=PASSWORD)
    assert (code, account.url in said, "repeat the command" in said) == (1, True, True)
    account.line.turn("well")
    one.login(me)
    one.jmem("sync", "now")
    with account.line.in_mood("down"):
        account.line.hang_up()
        assert "goes on by itself" in one.fails("sync", "now")[1]
        assert "repeat the command" in one.fails("account", "devices")[1]


# ---- out --------------------------------------------------------------------------------------


def test_out_and_in_again_and_nobody_else(pair: list[Machine], account: Account) -> None:
    one = pair[0]
    me, somebody = account.world.person(), account.world.person()
    one.login(me)
    one.jmem("add", "before")
    one.jmem("sync", "now")
    session = one.session
    kept = session.read_text().strip()
    assert session.stat().st_mode & 0o077 == 0
    one.jmem("logout")
    assert not session.exists()
    assert one.fails("whoami")[0] == 4
    refused = httpx.post(
        f"{account.world.supabase.url}/auth/v1/token?grant_type=refresh_token", json={"refresh_token": kept},
        headers={"apikey": account.world.supabase.settings.publishable_key},
    )  # fmt: skip
    assert refused.status_code == 400, "the session is ended at Supabase too"
    one.jmem("add", "while signed out")
    assert "while signed out" not in str(me.must("GET", "/memories"))
    code, said = one.fails("login", "--url", account.url, "--email", me.email, "--password-stdin", input=PASSWORD)
    assert "1 memory (16 bytes of text) would go" in said, "the account has the other one"
    code, said = one.fails(
        "login", "--url", account.url, "--email", somebody.email, "--password-stdin", "--yes", input=PASSWORD
    )
    assert (code, "belong to another account" in said, "--user NAME login" in said) == (6, True, True)
    one.login(me)
    wait_for(lambda: "while signed out" in str(me.must("GET", "/memories")), PATIENCE_S, "what waited")


def test_the_address_of_the_account_is_another_one(pair: list[Machine], account: Account) -> None:
    one, me = pair[0], account.world.person()
    one.login(me)
    one.jmem("add", "at the first address")
    wait_for(lambda: "first address" in str(me.must("GET", "/memories")), PATIENCE_S, "what was written")
    one.jmem("logout")
    moved = account.url.replace("127.0.0.1", "localhost")
    assert moved != account.url
    one.jmem("login", "--url", moved, "--email", me.email, "--password-stdin", "--yes", input=PASSWORD)
    one.jmem("add", "at the second address")
    wait_for(lambda: "second address" in str(me.must("GET", "/memories")), PATIENCE_S, "what was written then")
    assert one.until("on")["url"] == moved
    one.jmem("logout")
    me = account.world.person()
    code, said = one.fails(
        "login", "--url", account.url, "--email", me.email, "--password-stdin", "--yes", input=PASSWORD
    )
    assert (code, "belong to another account" in said) == (6, True)


def test_a_line_that_hangs_keeps_nobody_waiting(pair: list[Machine], account: Account) -> None:
    one, me = pair[0], account.world.person()
    one.login(me)
    one.until("on")
    account.line.turn("half_open")
    account.line.hang_up()
    started = time.monotonic()
    one.jmem("add", "nobody waits for this")
    waiting = threading.Thread(target=one.jmem, args=("sync", "now"), kwargs={"check": False})
    waiting.start()
    wait_for(lambda: one.sync()["state"] == "syncing", PATIENCE_S, "an exchange that hangs")
    one.jmem("search", "nobody waits")
    assert time.monotonic() - started < 10
    pid = one.home.pid
    started = time.monotonic()
    one.home.stop()
    assert time.monotonic() - started < 4, "a daemon ends though its exchange hangs"
    waiting.join(30)
    one.home.start()
    assert one.home.pid != pid
    started = time.monotonic()
    one.jmem("logout")
    assert time.monotonic() - started < 8, "signing out waits for no network"
    account.line.turn("well")
    assert one.texts() == {"nobody waits for this"}


def test_an_address_set_under_a_running_daemon_is_taken_and_a_restore_says_what_the_account_does(
    pair: list[Machine], account: Account
) -> None:
    one, _ = pair
    me = account.world.person()
    one.jmem("add", "kept in the account")
    made = one.home.json("backup")["path"]
    assert "account" not in one.jmem("backup", "restore", made, "--yes").stderr
    one.jmem("config", "set", "hosted.url", account.url)
    try:
        one.jmem("login", "--email", me.email, "--password-stdin", "--yes", input=PASSWORD)
        assert one.home.json("whoami")["url"] == account.url
    finally:
        one.jmem("config", "unset", "hosted.url")
    assert "jmem logout" in one.jmem("backup", "restore", made, "--yes").stderr


def test_a_device_that_is_shut_out_says_so_and_comes_back_by_signing_in(pair: list[Machine], account: Account) -> None:
    one, other = pair
    me = account.world.person()
    one.login(me)
    other.login(me)
    other.jmem("add", "written by the other")
    one.has("written by the other")
    found = wait_for(
        lambda: found if len(found := one.home.json("account", "devices")["devices"]) == 2 else None, what="both"
    )
    (here,) = [device for device in found if device["here"]]
    (there,) = [device for device in found if not device["here"]]
    first, second = sorted((here["name"], there["name"]))
    assert second == f"{first} 2", "both call themselves the same"
    screen = one.on_a_terminal("account", "devices")
    assert (screen.count("now"), "bug" in screen) == (2, False)
    assert there["platform"].startswith("Linux")
    code, said = one.fails("account", "devices", "revoke", there["id"])
    assert (code, "add --yes" in said) == (6, True)
    assert len(one.home.json("account", "devices")["devices"]) == 2
    wait_for(lambda: other.sync()["streaming"], PATIENCE_S, "the other listens")
    one.jmem("account", "devices", "revoke", there["id"], "--yes")
    assert other.until("signed_out")["error"]["fix"] == "jmem login", "it finds out before it looks by itself"
    assert one.fails("account", "devices", "revoke", there["id"], "--yes")[0] == 5
    code, said = other.fails("sync", "now")
    assert (code, "revoked by its owner" in said, "jmem login" in said) == (4, True, True)
    assert "jmem login" in other.jmem("status").stdout
    other.jmem("add", "waits")
    assert "waits" not in str(me.must("GET", "/memories"))
    other.login(me)
    one.has("waits")


def test_a_copy_of_a_machine_that_runs_too_is_a_machine_of_its_own(pair: list[Machine], account: Account) -> None:
    one, me = pair[0], account.world.person()
    key = me.must("POST", "/keys", {"name": "machines"})["key"]
    one.jmem("login", "--url", account.url, "--token-stdin", "--yes", input=key)
    one.jmem("add", "before the copy")
    one.until("on")
    one.home.stop()
    with temporary_home(one.home.path, JMEM_USER=one.user) as copied:
        copy = Machine(copied, account, one.user)
        for machine in (one, copy):
            machine.home.start()
            machine.until("on")
            wait_for(lambda m=machine: m.sync()["streaming"], PATIENCE_S, "it listens")  # type: ignore[misc]
        for machine, text in ((one, "of the original"), (copy, "of the copy"), (one, "again"), (copy, "and again")):
            machine.jmem("add", text)
            (copy if machine is one else one).has(text)
        found = copy.home.json("account", "devices")["devices"]
        assert len({device["name"] for device in found}) == len({device["id"] for device in found}) == 2
        (here,) = [device for device in found if device["here"]]
        (there,) = [device for device in one.home.json("account", "devices")["devices"] if device["here"]]
        assert here["id"] != there["id"]
        assert here["name"] == f"{there['name']} 2"
        assert (
            one.texts() == copy.texts() == {"before the copy", "of the original", "of the copy", "again", "and again"}
        )
        for machine in (one, copy):
            assert machine.home.json("sync", "verify")["equal"]


def test_doctor_says_how_the_account_is(pair: list[Machine], account: Account) -> None:
    one, me = pair[0], account.world.person()

    def doctor() -> dict[str, dict[str, Any]]:
        said = json.loads(one.jmem("doctor", "--json", check=False).stdout)
        label = f"{one.user}: "
        mine = {c["name"]: c for c in said["checks"] if c["message"].startswith(label)}
        return {name: mine[name] for name in ("account", "sign-in", "sync", "conflicts") if name in mine}

    one.login(me)
    one.jmem("add", "goes to the account")
    one.until("on")
    found = wait_for(lambda: found if "nothing waits" in (found := doctor())["sync"]["message"] else None, PATIENCE_S)
    assert {name: check["status"] for name, check in found.items()} == dict.fromkeys(found, "ok"), found
    assert me.email in found["account"]["message"]
    assert str(me.user) in found["account"]["message"]
    assert "last exchange was at" in found["sync"]["message"]
    account.line.turn("down")
    one.jmem("add", "waits")
    one.jmem("sync", "now", check=False)
    found = doctor()
    assert {name: check["status"] for name, check in found.items() if check["status"] != "ok"} == {
        "account": "warn", "sync": "warn",
    }  # fmt: skip
    assert "1 changes wait" in found["sync"]["message"]
    account.line.turn("well")
    one.jmem("sync", "pause")
    assert doctor()["sync"]["fix"] == "jmem sync resume"
    one.jmem("sync", "resume")
    one.until("on")
    (here,) = one.home.json("account", "devices")["devices"]
    one.jmem("account", "devices", "revoke", here["id"], "--yes")
    one.jmem("sync", "now", check=False)
    one.until("signed_out")
    sync = doctor()["sync"]
    assert (sync["status"], sync["fix"]) == ("fail", "jmem login")


def test_an_older_program_says_that_it_is_one_and_goes_on_writing(
    pair: list[Machine], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, me = pair[0], account.world.person()
    one.login(me)
    one.until("on")
    server_knows_v2(monkeypatch)
    fields = {
        "content": "in the second form",
        "client": "cli",
        "privacy": "synced",
        "created_at": "2026-11-22T20:13:05.123Z",
    }
    stamp = f"{int(time.time() * 1000):012x}-0000-a1b2c3d4"
    op = Op(stamp, new_id(), fields, (), "cli", new_nonce(), v=2).sealed()
    me.must("POST", "/sync/push", {"device": "newer", "ops": [json.loads(op.text())]})
    assert "install.sh" in str(one.until("upgrade_required")["error"]["fix"])
    one.jmem("add", "written all the same")
    wait_for(lambda: "written all the same" in str(me.must("GET", "/memories")), PATIENCE_S, "what was written")
    assert one.sync()["next_try_s"] is None
    code, said = one.fails("sync", "now")
    assert (code, "install.sh" in said) == (1, True)
    status = one.jmem("sync")
    assert "newer form" in status.stdout + status.stderr


def test_an_exchange_that_takes_long_is_waited_for_and_told_of(
    pair: list[Machine], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    me = account.world.person()
    one.login(me)
    one.jmem("add", "--lines", "-", input="\n".join(f"fact {n}" for n in range(1500)))
    one.jmem("sync", "now")
    pull = hosted.ops.feed.pull

    async def slowly(database: Any, user_id: Any, cursor: str | None, *more: Any) -> Any:
        if cursor is not None and cursor.startswith("500:"):
            await asyncio.sleep(4)
        return await pull(database, user_id, cursor, *more)

    monkeypatch.setattr(hosted.ops.feed, "pull", slowly)
    other.login(me)
    said = other.jmem("--verbose", "sync", "now").stderr
    assert re.search(r"[\d,]+ received and [\d,]+ to come", said), said
    assert len(other.texts()) == 1500


def test_a_damaged_sign_in_is_told_and_mended_by_another(pair: list[Machine], account: Account) -> None:
    one, me = pair[0], account.world.person()
    one.login(me)
    for file in ("session", "account.json"):
        for command in ("login", "logout"):
            one.home.stop()
            one.session.with_name(file).write_bytes(b"\xff{}")
            one.jmem("add", f"{file} is damaged before {command}")
            said = wait_for(
                lambda: found["error"] and found if (found := one.sync()) else None, PATIENCE_S, "it is told"
            )
            assert (said["error"]["code"], said["error"]["fix"], said["waiting"]) == ("damaged", "jmem login", 1)
            assert "jmem login" in one.jmem("status").stdout
            doctor = one.jmem("doctor", check=False).stdout
            assert re.search(rf"^fail\t(sign-in|account)\t.*{file} is damaged.*jmem login", doctor, re.M), doctor
            if command == "logout":
                one.jmem("logout")
                assert not one.session.exists()
            one.login(me)
            one.jmem("sync", "now")
            assert one.sync()["waiting"] == 0


def test_pause_and_rules(pair: list[Machine], account: Account, tmp_path: Path) -> None:
    one, me = pair[0], account.world.person()
    one.login(me)
    one.jmem("sync", "rules", "--keep-tag", "work")
    notes = tmp_path / "notes"
    (notes / "of the doctor").mkdir(parents=True)
    (notes / "of the doctor" / "today.md").write_text("---\nsource: https://example.org\n---\nkept by its folder\n")
    (notes / "shared.md").symlink_to(notes / "of the doctor" / "today.md")
    (notes / "of the doctor" / "more.jsonl").write_text('{"content": "kept as a line"}\n')
    (tmp_path / "link").symlink_to(notes / "of the doctor")
    one.jmem("sync", "rules", "--keep-folder", str(tmp_path / "link"))
    one.jmem("import", str(notes))
    one.jmem("import", str(notes / "of the doctor" / "more.jsonl"))
    one.jmem("sync", "pause")
    assert "jmem sync resume" in one.jmem("status").stdout
    one.jmem("add", "free")
    one.jmem("add", "at work", "--tag", "work")
    one.home.stop()
    one.home.start()
    assert one.sync()["state"] == "paused"
    for asked in (("sync", "now"), ("sync", "verify")):
        code, said = one.fails(*asked)
        assert (code, "jmem sync resume" in said) == (6, True)
    assert me.must("GET", "/memories")["memories"] == []
    one.jmem("sync", "resume")
    wait_for(lambda: "free" in str(me.must("GET", "/memories")), PATIENCE_S, "what may go")
    assert one.until("on")["held"] == 4
    for kept in ("at work", "kept by its folder", "kept as a line", "of the doctor"):
        assert kept not in str(me.must("GET", "/memories"))


def test_the_whole_account_is_written_to_a_file(pair: list[Machine], account: Account, tmp_path: Path) -> None:
    one, me = pair[0], account.world.person()
    one.login(me)
    one.jmem("add", "all of it")
    wait_for(lambda: "all of it" in str(me.must("GET", "/memories")), PATIENCE_S, "what was written")
    path = tmp_path / "account.zip"
    said = one.home.json("account", "export", str(path))
    assert (said["path"], said["bytes"], path.stat().st_mode & 0o777) == (str(path), path.stat().st_size, 0o600)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == said["files"]
        assert "all of it" in archive.read("memories.jsonl").decode()
    whole = path.read_bytes()
    code, why = one.fails("account", "export", str(path))
    assert (code, "--force" in why) == (6, True)

    account.line.turn("cut")  # it breaks off in the midst of the answer
    assert one.fails("account", "export", "--force", str(path))[0] == 1
    assert one.fails("account", "export", str(tmp_path / "never.zip"))[0] == 1
    account.line.turn("well")
    assert [file.name for file in tmp_path.iterdir()] == ["account.zip"]
    assert path.read_bytes() == whole
    one.jmem("account", "export", "--force", str(path))

    one.jmem("logout")
    assert one.fails("account", "export", str(tmp_path / "never.zip"))[0] == 4
    key = me.must("POST", "/keys", {"name": "server"})["key"]
    one.jmem("login", "--url", account.url, "--token-stdin", "--yes", input=key)
    code, why = one.fails("account", "export", str(tmp_path / "never.zip"))
    assert (code, [file.name for file in tmp_path.iterdir()]) == (6, ["account.zip"]), why


def test_the_account_ends_and_the_machines_keep_theirs(pair: list[Machine], account: Account) -> None:
    one, other = pair
    me, next_me = account.world.person(), account.world.person()
    one.login(me)
    other.login(me)
    one.jmem("add", "kept here")
    other.has("kept here")
    code, said = one.fails("account", "delete")
    assert (code, "Memories on your machines stay there" in said) == (2, True), "nobody is here to type the address"
    assert said.endswith("fix: add --confirm ADDRESS\n")
    assert one.fails("account", "delete", "--confirm", "somebody@example.com")[0] == 2
    one.jmem("account", "delete", "--confirm", me.email)
    assert one.fails("whoami")[0] == 4
    assert one.texts() == {"kept here"}
    code, said = other.fails("sync", "now")
    assert (code, "deleted" in said) == (4, True)
    assert other.until("account_deleted")
    assert other.texts() == {"kept here"}
    assert me.ask("GET", "/api/v1/memories").status_code == 410
    other.login(next_me)
    wait_for(lambda: "kept here" in str(next_me.must("GET", "/memories")), PATIENCE_S, "it goes to the next account")
