"""Several users of one daemon."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from bench.home import Home
from daemon.clients import Clients
from daemon.users import UserMemory, Users
from jmem.core.embed import make_embedder
from jmem.core.errors import StorageFailed
from jmem.core.settings import load
from tests.daemon.harness import exchange, request


def test_users_have_stores_of_their_own(daemon: Home) -> None:
    with contextlib.closing(daemon.api(user="ann")) as ann, contextlib.closing(daemon.api(user="ben")) as ben:
        assert ann.call("GET", "/api/v1/memories").body["code"] == "unknown_user"
        id = ann.add("ann's plan for the surprise party")["id"]
        ben.add("ben's plan for saturday")
        assert [m["content"] for m in ben.every()] == ["ben's plan for saturday"]
        assert ben.call("GET", f"/api/v1/memories/{id}").status == 404
        assert not [hit for hit in ben.search("surprise party plan")["results"] if hit["id"] == id]
        assert ben.call("DELETE", f"/api/v1/memories/{id}").status == 404
    users = json.loads((daemon.path / "users.json").read_text())
    assert {"default", "ann", "ben"} <= set(users)
    assert len({(daemon.path / "users" / user_id) for user_id in users.values()}) == len(users)


def test_an_unknown_user_reads_nothing_and_is_made_by_the_first_write(daemon: Home) -> None:
    with contextlib.closing(daemon.api(user="cleo")) as cleo:
        for method, path, body in (("GET", "/memories", None), ("POST", "/search", {"query": "x"}), ("POST", "/undo", {}),
                                   ("GET", "/daemon/token", None)):  # fmt: skip
            answer = cleo.call(method, "/api/v1" + path, body)
            assert (answer.status, answer.body["code"]) == (404, "unknown_user")
        status = cleo.must("GET", "/status")
        assert (status["user_id"], status["memories"]) == (None, 0)
        cleo.add("cleo's first memory")
        assert cleo.must("GET", "/status")["memories"] == 1


def test_a_user_has_a_token_that_decides_on_tcp(daemon: Home) -> None:
    port = daemon.state["port"]
    with contextlib.closing(daemon.api(user="dora")) as dora:
        dora.add("dora writes by the socket")
        token = dora.must("GET", "/daemon/token")["token"]
    assert token != daemon.token
    headers = [("Host", f"127.0.0.1:{port}"), ("Authorization", f"Bearer {token}")]
    _, _, body = exchange(port, request("GET", "/api/v1/memories", headers))
    assert [memory["content"] for memory in json.loads(body)["memories"]] == ["dora writes by the socket"]
    added = request("POST", "/api/v1/memories", headers, b'{"content":"dora writes by TCP"}')
    assert json.loads(exchange(port, added)[2])["client"] == "api"


def test_a_users_client_has_a_key_of_its_own(daemon: Home) -> None:
    with contextlib.closing(daemon.api(user="ed")) as ed, contextlib.closing(daemon.api()) as default:
        one = ed.must("POST", "/clients", {"name": "claude"})
        other = default.must("POST", "/clients", {"name": "claude"})
        assert one["http"] != other["http"]
        assert one["stdio"]["args"] == ["mcp", "--client", "claude", "--user", "ed"]
        assert other["stdio"]["args"] == ["mcp", "--client", "claude"]
        assert one == ed.must("POST", "/clients", {"name": "claude"})


@pytest.mark.parametrize("name", ["Frieda Müller", "用户", "a@b.example"])
def test_names_may_be_anything_printable(daemon: Home, name: str) -> None:
    with contextlib.closing(daemon.api(user=quote(name))) as api:
        api.add("hello")
        assert len(list(api.every())) == 1


@pytest.mark.parametrize("name", ["%00", "%ff", "%20x", "a" * 65, "%0a"])
def test_names_that_are_no_names_are_refused(daemon: Home, name: str) -> None:
    headers = [("Host", "x"), ("X-Jmem-User", name)]
    status, _, _ = exchange(daemon.socket_path, request("POST", "/api/v1/memories", headers, b'{"content":"x"}'))
    assert status in (400, 413, 422)


def test_users_outlive_a_restart_and_their_keys_too(home: Home) -> None:
    home.start()
    with contextlib.closing(home.api(user="gil")) as gil:
        gil.add("before the restart")
        before = gil.must("POST", "/clients", {"name": "claude"})
        gil.must("PATCH", "/clients/claude", {"delete": False, "tags": ["work"]})
    home.stop()
    home.start()
    with contextlib.closing(home.api(user="gil")) as gil:
        assert [m["content"] for m in gil.every()] == ["before the restart"]
        assert gil.must("POST", "/clients", {"name": "claude"}) == before
        (client,) = gil.must("GET", "/clients")["clients"]
        assert (client["delete"], client["tags"], client["read"]) == (False, ["work"], True)
        gil.must("PATCH", "/clients/claude", {"tags": None})
        assert gil.must("GET", "/clients")["clients"][0]["tags"] is None


@pytest.mark.parametrize("damage", ["{", '{"claude": {"tags": 5}}', '{"claude": {"read": "yes"}}', '{"claude": 1}'])
def test_a_damaged_client_list_lets_no_program_in(tmp_path: Path, damage: str) -> None:
    (tmp_path / "clients.json").write_text(damage)
    clients = Clients(tmp_path)
    for ask in (
        clients.all,
        lambda: clients.get("claude"),
        lambda: clients.find("claude"),
        lambda: clients.connect("claude"),
    ):
        with pytest.raises(StorageFailed) as refused:
            ask()
        assert "clients.json" in str(refused.value.fix)
    assert (tmp_path / "clients.json").read_text() == damage


def test_a_damaged_client_list_keeps_nobody_else_out(home: Home) -> None:
    home.start()
    with contextlib.closing(home.api()) as api:
        api.add("still here")
        before = api.must("POST", "/clients", {"name": "claude"})
    home.stop()
    path = home.user_folder / "clients.json"
    path.write_text("{")
    home.start()
    key = urlsplit(before["http"]).path
    port = home.state["port"]
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    ask = request("POST", key, [("Host", f"127.0.0.1:{port}"), ("Content-Type", "application/json")], body)
    with contextlib.closing(home.api()) as api:
        assert [memory["content"] for memory in api.every()] == ["still here"]
        answer = api.call("GET", "/api/v1/clients")
        assert (answer.status, answer.body["code"]) == (507, "damaged")
        assert exchange(port, ask)[0] == 404
    home.stop()
    path.unlink()
    home.start()
    with contextlib.closing(home.api()) as api:
        after = api.must("POST", "/clients", {"name": "claude"})
        assert after["http"] != before["http"]
        assert exchange(port, ask)[0] == 404


def test_a_memory_that_could_not_be_handed_over_is_closed(tmp_path: Path) -> None:
    settings = load({"JMEM_HOME": str(tmp_path)})
    seen: list[UserMemory] = []

    def opened(memory: UserMemory) -> None:
        seen.append(memory)
        if len(seen) == 1:
            raise RuntimeError("the first one fails")

    users = Users(settings, make_embedder(settings), {}, opened)
    with pytest.raises(RuntimeError):
        users.open("default")
    assert users.opened() == []
    with pytest.raises(StorageFailed, match="closed"), seen[0].store.reader():
        pass
    assert not seen[0].indexer._thread.is_alive()
    assert users.open("default") is seen[1]
    users.close()
