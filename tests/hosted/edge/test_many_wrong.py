"""Requests with millions of things that are wrong: what refusing them costs is bounded by what reading them costs."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest
from pydantic import ValidationError

from hosted.api.sync import _Push
from jmem.core.errors import Invalid
from jmem.core.mcp import arguments
from jmem.core.mcp.arguments import Delete, Search
from jmem.core.wire.asks import BatchAsk, ImportAsk, SearchAsk
from jmem.core.wire.base import Ask
from jmem.core.wire.refusals import MAX_ERRORS, invalid_answer

MANY = 200_000
LISTS: list[tuple[type[Ask], str, str]] = [
    (SearchAsk, "query", "tags"), (SearchAsk, "query", "clients"), (_Push, "device", "ops"), (BatchAsk, "", "operations"),
]  # fmt: skip


def body(word: str, name: str, item: str) -> bytes:
    head = f'"{word}":"a1",' if word else ""
    return f'{{{head}"{name}":[{",".join([item] * MANY)}]}}'.encode()


def refusal(model: type[Ask], raw: bytes) -> Invalid:
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(raw)
    return invalid_answer(caught.value)


@pytest.mark.parametrize(("model", "word", "name"), LISTS)
@pytest.mark.parametrize("item", ["1", "null", "[]"])
def test_a_list_is_looked_at_up_to_what_is_wrong_first(model: type[Ask], word: str, name: str, item: str) -> None:
    raw = body(word, name, item)
    tracemalloc.start()
    began = time.process_time()
    found = refusal(model, raw)
    spent, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.detail["field"].startswith(f"{name}.0")
    assert len(found.detail["errors"]) < 10
    assert peak < 10 * len(raw) + 1_000_000
    assert spent < 1.0


def test_fields_without_end_are_told_of_by_their_number() -> None:
    raw = ('{"query":"x",' + ",".join(f'"k{n}":1' for n in range(MANY)) + "}").encode()
    found = refusal(SearchAsk, raw)
    assert f"{MANY:,}" in found.message
    assert "errors" not in found.detail
    few = ('{"query":"x",' + ",".join(f'"k{n}":1' for n in range(MAX_ERRORS)) + "}").encode()
    assert len(refusal(SearchAsk, few).detail["errors"]) == MAX_ERRORS


@pytest.mark.parametrize("model", [Search, Delete])
def test_arguments_of_a_tool_too(model: Any) -> None:
    name = "memory_ids" if model is Delete else "tags"
    with pytest.raises(Invalid) as told:
        arguments.parse(model, {"query": "x", name: [1] * MANY} if model is Search else {name: [1] * MANY})
    assert len(told.value.message) < 500
    with pytest.raises(Invalid) as told:
        arguments.parse(model, {f"k{n}": 1 for n in range(MANY)})
    assert len(told.value.message) < 500


def test_what_is_right_and_what_is_wrong_once_are_told_as_before() -> None:
    assert ImportAsk.model_validate_json(b'{"format":"jsonl","items":[1,{}]}').items == (1, {})
    found = refusal(SearchAsk, b'{"query":1,"tags":["a",2,3],"other":1}')
    assert found.code == "unknown_field"
    assert [error["field"] for error in found.detail["errors"]] == ["query", "tags.1", "other"]
