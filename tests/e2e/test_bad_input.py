"""Bad input of every kind: one table, and the same refusal on the command line, over HTTP and over MCP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bench.home import Api, Home, Mcp

LONGEST = "x" * 65_536
UNKNOWN = "00000000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Case:
    """The same mistake on three surfaces (None: it can't be made there) and the one answer to it."""

    name: str
    says: str
    code: str
    status: int
    exit: int
    http: tuple[str, str, Any]
    cli: tuple[str, ...] | None = None
    stdin: bytes | None = None
    mcp: tuple[str, dict[str, Any]] | None = None
    http_says: str = ""
    mcp_says: str = ""


def add(body: dict[str, Any]) -> tuple[str, str, Any]:
    return "POST", "/memories", body


def search(**body: Any) -> tuple[str, str, Any]:
    return "POST", "/search", {"query": "seat", **body}


TAGS = [f"t{n}" for n in range(65)]
CASES = [
    Case("empty content", "content is empty", "invalid", 422, 2, add({"content": ""}),
         ("add", ""), mcp=("add_memories", {"text": ""}), mcp_says="empty"),
    Case("blank content", "content is empty", "invalid", 422, 2, add({"content": " \n\t"}),
         ("add", " \n\t"), mcp=("add_memories", {"text": " \n\t"}), mcp_says="empty"),
    Case("content a byte too long", "65,537 bytes; a memory holds at most 65,536", "too_large", 413, 2,
         add({"content": LONGEST + "x"}), ("add", "-"), (LONGEST + "x").encode(),
         ("add_memories", {"text": LONGEST + "x"})),
    Case("content too long in bytes, not in characters", "65,538 bytes", "too_large", 413, 2,
         add({"content": "ß" * 32_769}), ("add", "-"), ("ß" * 32_769).encode(),
         ("add_memories", {"text": "ß" * 32_769})),
    Case("NUL", "has a NUL character", "invalid", 422, 2, add({"content": "a\0b"}),
         ("add", "-"), b"a\0b", ("add_memories", {"text": "a\0b"})),
    Case("lone surrogate", "is not valid UTF-8", "invalid", 422, 2, add({"content": "a\ud800b"}),
         ("add", "-"), b"a\xed\xa0\x80b", ("add_memories", {"text": "a\ud800b"})),
    Case("content of another type", "content: input should be a valid string", "invalid", 422, 2, add({"content": 7}),
         mcp=("add_memories", {"text": 7}), mcp_says="text"),
    Case("no content", "content", "invalid", 422, 2, add({}), mcp=("add_memories", {}), mcp_says="text"),
    Case("65 tags", "65 tags; a memory holds at most 64", "too_large", 413, 2, add({"content": "x", "tags": TAGS}),
         ("add", "x", *(part for tag in TAGS for part in ("--tag", tag))),
         mcp=("add_memories", {"text": "x", "tags": TAGS})),
    Case("tag of 65 characters", "tag is longer than 64 characters", "too_large", 413, 2,
         add({"content": "x", "tags": ["t" * 65]}), ("add", "x", "--tag", "t" * 65),
         mcp=("add_memories", {"text": "x", "tags": ["t" * 65]})),
    Case("empty tag", "tag is empty", "invalid", 422, 2, add({"content": "x", "tags": [""]}),
         ("add", "x", "--tag", ""), mcp=("add_memories", {"text": "x", "tags": [""]})),
    Case("tag with a line break", "a tag has a control character", "invalid", 422, 2,
         add({"content": "x", "tags": ["a\nb"]}), ("add", "x", "--tag", "a\nb"),
         mcp=("add_memories", {"text": "x", "tags": ["a\nb"]})),
    Case("limit 0", "limit", "invalid", 422, 2, search(limit=0), ("search", "seat", "-n", "0"),
         mcp=("search_memory", {"query": "seat", "limit": 0})),
    Case("limit 1001", "limit", "invalid", 422, 2, search(limit=1001), ("search", "seat", "-n", "1001"),
         mcp=("search_memory", {"query": "seat", "limit": 1001})),
    Case("limit in words", "limit", "invalid", 422, 2, search(limit="ten"),
         mcp=("search_memory", {"query": "seat", "limit": "ten"})),
    Case("list limit 1001", "limit", "invalid", 422, 2, ("GET", "/memories?limit=1001", None),
         ("list", "-n", "1001"), mcp=("list_memories", {"limit": 1001})),
    Case("empty question", "query is empty", "invalid", 422, 2, search(query=""), ("search", ""),
         mcp=("search_memory", {"query": ""})),
    Case("blank question", "query is empty", "invalid", 422, 2, search(query="  \t"), ("search", "  \t"),
         mcp=("search_memory", {"query": "  \t"})),
    Case("no time", "since", "invalid", 422, 2, search(since="the day the sky fell"),
         ("search", "seat", "--since", "the day the sky fell"),
         mcp=("search_memory", {"query": "seat", "since": "the day the sky fell"})),
    Case("unknown field", "colour", "unknown_field", 422, 2, add({"content": "x", "colour": "red"}),
         ("add", "x", "--colour", "red"), mcp=("add_memories", {"text": "x", "colour": "red"})),
    Case("unknown field of a search", "colour", "unknown_field", 422, 2, search(colour="red"),
         ("search", "x", "--colour", "red"), mcp=("search_memory", {"query": "x", "colour": "red"})),
    Case("cursor made up", "the cursor is not one of this list", "bad_cursor", 422, 2, ("GET", "/memories?cursor=nonsense", None),
         ("list", "--cursor", "nonsense"), mcp=("list_memories", {"cursor": "nonsense"})),
    Case("mode made up", "mode", "invalid", 422, 2, search(mode="psychic"), ("search", "seat", "--mode", "psychic")),
    Case("state made up", "state", "invalid", 422, 2, add({"content": "x", "state": "asleep"})),
    Case("privacy made up", "privacy", "invalid", 422, 2, add({"content": "x", "privacy": "public"})),
    Case("time made up", "occurred_at", "invalid", 422, 2, add({"content": "x", "occurred_at": "2024-02-30"})),
    Case("metadata no object", "metadata: input should be an object", "invalid", 422, 2, add({"content": "x", "metadata": [1]})),
    Case("metadata too large", "metadata is larger than 16,384 bytes", "too_large", 413, 2,
         add({"content": "x", "metadata": {"k": "v" * 16_400}})),
    Case("speaker too long", "speaker is longer than 256 characters", "too_large", 413, 2,
         add({"content": "x", "speaker": "s" * 257})),
    Case("unknown id", "no memory", "not_found", 404, 5, ("GET", f"/memories/{UNKNOWN}", None), ("show", UNKNOWN)),
    Case("id too short", "id", "invalid", 422, 2, ("GET", "/memories/abc", None), ("show", "abc")),
    Case("ids no list", "memory_ids", "invalid", 422, 2,
         ("POST", "/memories/batch", {"operations": "all of them"}),
         mcp=("delete_memories", {"memory_ids": 7}), http_says="operations"),
    Case("batch of 1001", "1,000", "too_large", 413, 2,
         ("POST", "/memories/batch", {"operations": [{"op": "add", "content": f"b{n}"} for n in range(1001)]})),
]  # fmt: skip
IDS = {"argnames": "case", "ids": lambda case: case.name}


@pytest.fixture(scope="module")
def api(daemon: Home) -> Iterator[Api]:
    with contextlib.closing(daemon.api()) as connection:
        connection.add("I prefer aisle seats")
        yield connection


@pytest.fixture(scope="module")
def mcp(daemon: Home) -> Iterator[Mcp]:
    with contextlib.closing(daemon.mcp("bad")) as session:
        yield session


@pytest.fixture(autouse=True)
def nothing_is_stored(api: Api) -> Iterator[None]:
    before = api.must("GET", "/stats")["memories"]
    yield
    assert api.must("GET", "/stats")["memories"] == before


@pytest.mark.parametrize(argvalues=CASES, **IDS)
def test_over_http(api: Api, case: Case) -> None:
    method, path, body = case.http
    answer = api.call(method, "/api/v1" + path, body)
    assert (answer.status, answer.body.get("code")) == (case.status, case.code), answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body["status"] == case.status
    assert (case.http_says or case.says) in json.dumps(answer.body, ensure_ascii=False)


@pytest.mark.parametrize(argvalues=[case for case in CASES if case.cli], **IDS)
def test_on_the_command_line(daemon: Home, case: Case) -> None:
    done = daemon.jmem(*(case.cli or ()), input=case.stdin or b"", check=False)
    assert done.returncode == case.exit, done.stderr
    assert case.says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(argvalues=[case for case in CASES if case.mcp], **IDS)
def test_over_mcp(mcp: Mcp, case: Case) -> None:
    name, arguments = case.mcp or ("", {})
    result = mcp.tool(name, **arguments)
    said = " ".join(part["text"] for part in result["content"])
    assert result["isError"], said
    assert (case.mcp_says or case.says).lower() in said.lower()
    assert "Traceback" not in said


def test_each_operation_of_a_batch_has_its_own_refusal(api: Api) -> None:
    operations = [{"op": "explode"}, {"op": "add"}, {"op": "delete", "id": UNKNOWN}, {"op": "edit", "content": "x"}]
    results = api.must("POST", "/memories/batch", {"operations": operations})["results"]
    assert [(r["status"], r["problem"]["code"]) for r in results] == [
        (422, "invalid"), (422, "invalid"), (404, "not_found"), (422, "invalid"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "status"),
    [(b"{", 422), (b"", 422), (b"[]", 422), (b'"x"', 422), (b"\xff\xfe", 422), (b"[" * 100_000, 422),
     (b'{"content":"' + b"x" * (9 << 20) + b'"}', 413)],
    ids=["cut", "empty", "list", "text", "no-utf8", "nested", "nine-mebibytes"],
)  # fmt: skip
def test_a_body_that_is_no_object(api: Api, raw: bytes, status: int) -> None:
    try:
        answer = api.call("POST", "/api/v1/memories", raw=raw)
    except (BrokenPipeError, ConnectionResetError):
        assert status == 413, "only a body over the limit may be cut off"
        return
    assert answer.status in (status, 400)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("raw", "says"),
    [(rb'{"content":"a\ud800b"}', "half a character (a lone surrogate) is escaped at line 1 column"),
     (rb'{"content":"a\udc00"}', "half a character (a lone surrogate) is escaped at line 1 column"),
     (b'{"content":"a\xed\xa0\x80b"}', "not valid UTF-8 at line 1 column"),
     (b'{"content":"a\xff"}', "not valid UTF-8 at line 1 column"),
     (rb'{"content":"a\u12"}', "invalid escape")],
)  # fmt: skip
def test_text_that_is_no_text_is_named_with_its_place(api: Api, raw: bytes, says: str) -> None:
    answer = api.call("POST", "/api/v1/memories", raw=raw)
    assert (answer.status, answer.body["code"]) == (422, "invalid")
    assert says in answer.body["title"]


def test_a_body_that_claims_to_be_too_large_is_refused_unread(api: Api) -> None:
    answer = api.call("POST", "/api/v1/memories", raw=b"{}", headers={"Content-Length": "2"})
    assert answer.status == 422
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        answer = api.call("POST", "/api/v1/memories", raw=b"{" + b" " * (9 << 20))
        assert answer.status == 413


def test_long_text_is_told_the_way_on(daemon: Home) -> None:
    done = daemon.jmem("add", "-", input=(LONGEST + "x"), check=False)
    assert "jmem import" in done.stderr


class TestLimitsThemselvesAreAllowed:
    @pytest.fixture(autouse=True)
    def nothing_is_stored(self) -> None:
        """These do store."""

    def test_the_longest_content(self, daemon: Home, api: Api, mcp: Mcp) -> None:
        for letter, way in (("p", "http"), ("q", "cli"), ("r", "mcp")):
            text = letter * 65_536
            if way == "http":
                assert api.add(text)["content"] == text
            elif way == "cli":
                assert json.loads(daemon.jmem("add", "-", "--json", input=text).stdout)["content"] == text
            else:
                assert not mcp.tool("add_memories", text=text).get("isError")

    def test_64_tags_of_64_characters(self, api: Api) -> None:
        tags = [f"{n:064d}" for n in range(64)]
        assert api.add("Tagged to the brim", tags=tags)["tags"] == tags

    def test_limit_1000(self, api: Api) -> None:
        assert api.search("seat", limit=1000)["results"]

    def test_an_answer_stays_under_512_kib(self, api: Api, mcp: Mcp) -> None:
        for n in range(12):
            api.add(f"A very long seat story {n}. " + "seat " * 12_000)
        answer = api.call("POST", "/api/v1/search", {"query": "very long seat story", "limit": 100})
        assert len(answer.raw) <= 512 * 1024
        assert answer.body["truncated"]
        assert answer.body["results"]
        result = mcp.tool("search_memory", query="very long seat story", limit=100)
        assert not result.get("isError")
        assert len(json.dumps(result)) <= 1024 * 1024
