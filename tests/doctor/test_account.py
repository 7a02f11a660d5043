"""What the deep check says of the account a machine is signed in to, and of one it was. No daemon runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from jmem.core import outbox
from jmem.core.store import Store
from tests.doctor.conftest import Home

SUB = "1b1c2d3e-0000-4000-8000-00000000abcd"
Sql = Callable[[str], None]


class _Account(BaseHTTPRequestHandler):
    """Says where to sign in."""

    def do_GET(self) -> None:
        body = json.dumps({"supabase_url": "http://127.0.0.1:9", "publishable_key": "k"}).encode()
        self.send_response(200 if self.path == "/api/v1/auth" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is told."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Account) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def sign_in(home: Home, url: str, sub: str = SUB) -> None:
    said = {
        "url": url,
        "supabase_url": url,
        "publishable_key": "k",
        "sub": sub,
        "email": "me@example.com",
        "keeper": "file",
    }
    (home.folder / "account.json").write_text(json.dumps(said))
    (home.folder / "session").write_text("a refresh token\n")
    bind(home)


def bind(home: Home) -> None:
    with Store.open(home.folder) as store:
        outbox.bind(store, SUB)


def seen(home: Home, sql: Sql) -> None:
    """Everything has come to the account's feed."""
    sql("UPDATE ops SET sent = 1")


def test_nobody_is_signed_in(home: Home) -> None:
    found = home.check()
    assert found["account"].status == "ok"
    assert "nothing leaves this machine" in found["account"].message
    assert not {"sign-in", "sync", "conflicts"} & set(found)


def test_signed_in_and_all_is_well(home: Home, url: str, sql: Sql) -> None:
    sign_in(home, url)
    seen(home, sql)
    found = home.check()
    told = {name: found[name].message for name in ("account", "sign-in", "sync", "conflicts")}
    assert {name for name in told if found[name].status != "ok"} == set()
    assert told["account"] == f"me@example.com at {url}, which answers; these memories belong to the account {SUB}"
    assert told["sign-in"].endswith("mode 600")
    assert told["sync"] == "nothing waits; it goes on once the daemon runs"


def test_the_account_does_not_answer(home: Home) -> None:
    sign_in(home, "http://127.0.0.1:9")
    found = home.check()
    assert (found["account"].status, "can't be reached" in found["account"].message) == ("warn", True)
    assert "nothing is lost" in (found["account"].fix or "")
    assert found["sync"].message.startswith("4 changes wait")


def test_signed_out_while_changes_wait(home: Home, sql: Sql) -> None:
    bind(home)
    found = home.check()["account"]
    assert (found.status, found.fix) == ("warn", "jmem login")
    assert found.message == f"signed out of the account {SUB}; 4 changes wait for it"
    seen(home, sql)
    assert home.check()["account"].status == "ok"


def test_signed_in_to_another_account_than_the_memories_are_of(home: Home, url: str) -> None:
    sign_in(home, url, SUB.replace("1b", "2b"))
    found = home.check()["account"]
    assert (found.status, SUB in found.message, "--user NAME login" in (found.fix or "")) == ("fail", True, True)


def test_what_proves_the_sign_in_is_gone_damaged_or_open(home: Home, url: str) -> None:
    sign_in(home, url)
    (home.folder / "session").chmod(0o644)
    found = home.check()
    assert found["sign-in"].message.endswith("mode 644")
    assert (found["permissions"].status, "session" in found["permissions"].message) == ("fail", True)
    assert home.check(mend=True)["sign-in"].message.endswith("mode 600")
    (home.folder / "session").unlink()
    found = home.check()
    assert (found["sign-in"].status, found["sign-in"].fix) == ("fail", "jmem login")
    (home.folder / "account.json").write_text("{")
    found = home.check()
    assert (found["account"].status, found["account"].fix) == ("fail", "jmem login")


def test_paused_and_texts_written_apart(home: Home, url: str, sql: Sql) -> None:
    sign_in(home, url)
    with Store.open(home.folder) as store:
        outbox.set_paused(store, True)
    sql(f"INSERT INTO conflicts (id) VALUES ('{home.ids[0]}')")
    found = home.check()
    assert (found["sync"].status, found["sync"].fix) == ("warn", "jmem sync resume")
    assert (found["conflicts"].status, found["conflicts"].fix) == ("warn", "jmem conflicts")
    assert found["conflicts"].message.startswith("1 memories")


def test_an_api_key_in_the_settings(home: Home, url: str) -> None:
    found = home.check(JMEM_HOSTED_URL=url, JMEM_TOKEN="jmk_x")
    assert found["account"].message == f"an API key at {url}, which answers"
    assert found["sign-in"].message == "by an API key in the settings"
