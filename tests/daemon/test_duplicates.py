"""Near duplicates over HTTP, with the real model."""

from __future__ import annotations

import pytest

from bench.home import Api, Home

SAID = (
    ("Anna is allergic to peanuts.", "Anna has a peanut allergy."),
    ("User lives in Berlin, Germany", "User lives in Berlin"),
)


@pytest.fixture(scope="module")
def pairs(daemon: Home, api: Api) -> dict[str, str]:
    """text -> id, the older of each two first."""
    ids = {text: api.add(text)["id"] for text in [*(a for a, _ in SAID), "Something else", *(b for _, b in SAID)]}
    daemon.indexed()
    return ids


def listed(api: Api, query: str = "") -> list[tuple[str, str]]:
    """All pairs, page by page."""
    found, cursor = [], ""
    while True:
        page = api.must("GET", f"/duplicates?limit=1{query}{cursor}")
        found += [(pair["a"]["content"], pair["b"]["content"]) for pair in page["pairs"]]
        if page["next_cursor"] is None:
            assert page["scanned"] == page["total"]
            return found
        cursor = f"&cursor={page['next_cursor']}"


def test_pairs_page_by_page(api: Api, pairs: dict[str, str]) -> None:
    assert listed(api) == [(newer, older) for older, newer in reversed(SAID)]
    assert len(listed(api, "&least=0.5")) >= 2
    (near,) = api.must("GET", f"/memories/{pairs['User lives in Berlin'][-8:]}/similar")["similar"]
    assert near["memory"]["content"] == "User lives in Berlin, Germany"
    assert (near["by"], near["same_words"]) == ("meaning", 0.889)
    assert 0.9 < near["score"] < 1
    for bad in ("least=0.2", "least=2", "limit=0", "cursor=x", "what=1"):
        assert api.call("GET", f"/api/v1/duplicates?{bad}").status == 422, bad


def test_distinct_and_back(api: Api, pairs: dict[str, str]) -> None:
    a, b = pairs[SAID[0][0]], pairs[SAID[0][1]]
    noted = api.must("POST", "/duplicates/distinct", {"a": a, "b": b[-8:]})
    assert noted == {"a": a, "b": b, "distinct": True}
    assert len(listed(api)) == 1
    api.must("POST", "/duplicates/distinct", {"a": b, "b": a, "distinct": False})
    assert len(listed(api)) == 2
    problem = api.call("POST", "/api/v1/duplicates/distinct", {"a": a, "b": a})
    assert (problem.status, problem.body["code"]) == (422, "same_memory")


def test_merge_and_undo(api: Api, pairs: dict[str, str]) -> None:
    keep, other = pairs[SAID[1][0]], pairs[SAID[1][1]]
    version = api.must("GET", f"/memories/{keep}")["version"]
    stale = api.call("POST", f"/api/v1/memories/{keep}/merge", {"other": other, "version": "0"})
    assert (stale.status, stale.body["code"]) == (409, "changed")
    done = api.must(
        "POST", f"/memories/{keep}/merge", {"other": other, "version": version, "content": "Lives in Berlin"}
    )
    assert (done["deleted"], done["memory"]["id"], done["memory"]["content"]) == (other, keep, "Lives in Berlin")
    assert api.call("GET", f"/api/v1/memories/{other}").status == 404
    assert len(listed(api)) == 1
    undone = api.must("POST", "/undo", {"n": 1})["undone"]
    assert [(action["kind"], sorted(action["ids"])) for action in undone] == [("merge", sorted((keep, other)))]
    assert api.must("GET", f"/memories/{other}")["content"] == SAID[1][1]


def test_a_page_is_never_larger_than_an_answer(api: Api, pairs: dict[str, str]) -> None:
    for thread in range(6):
        api.add("é" * 32_000, thread=str(thread))
    found, cursor = 0, ""
    while True:
        answer = api.call("GET", "/api/v1/duplicates?limit=100&least=1" + cursor)
        assert len(answer.raw) <= 512 * 1024
        found += sum(pair["a"]["content"].startswith("é") for pair in answer.body["pairs"])
        if answer.body["next_cursor"] is None:
            break
        cursor = f"&cursor={answer.body['next_cursor']}"
    assert found == 5
