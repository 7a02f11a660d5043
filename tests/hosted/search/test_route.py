"""POST /api/v1/search: the same request and answer as a daemon's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from hosted.app import make_app
from hosted.memories.service import Backend
from hosted.ops.events import Bus
from tests.hosted.letin import LetIn, bearer
from tests.hosted.search.conftest import Place


@pytest.fixture
async def http(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(Backend(place.database, Bus(), searcher=place.searcher), identity=LetIn())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://jmem.test", headers=bearer(place.user)
    ) as client:
        yield client


async def test_the_answer_has_the_daemons_shape(http: httpx.AsyncClient, place: Place) -> None:
    id = await place.add("I prefer aisle seats", tags=("travel",))
    await place.drain()
    said = await http.post(
        "/api/v1/search", json={"query": "which seat", "tags": ["travel"], "since": "last year", "explain": True}
    )
    assert said.status_code == 200, said.text
    body = said.json()
    assert body.keys() == {"query", "took_ms", "confident", "mode", "results"}
    (hit,) = body["results"]
    assert (hit["id"], hit["also"], hit["content"]) == (id, [], "I prefer aisle seats")
    assert {"text", "vector", "speaker", "recency", "superseded_by", "total", "terms", "terms_dropped"} == hit[
        "explain"
    ].keys()
    plain = (await http.post("/api/v1/search", json={"query": "seat", "mode": "text"})).json()
    assert plain["mode"] == "text"
    assert "explain" not in plain["results"][0]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"query": ""}, {"query": "x", "limit": 0}, {"query": "x", "mode": "best"}, {"query": "x", "user_id": "u"},
        {"query": "x", "since": "someday"}, {"query": "x", "as_of": "2990-01-01"},
    ],
)  # fmt: skip
async def test_what_is_no_search_is_a_problem(http: httpx.AsyncClient, body: dict[str, object]) -> None:
    said = await http.post("/api/v1/search", json=body)
    assert said.status_code == 422
    assert said.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("field", ["thread", "source", "clients"])
async def test_a_nul_finds_nothing(http: httpx.AsyncClient, field: str) -> None:
    value: object = ["a\0b"] if field == "clients" else "a\0b"
    said = await http.post("/api/v1/search", json={"query": "x", field: value})
    assert (said.status_code, said.json()["results"]) == (200, [])
