from __future__ import annotations

import pytest

from jmem.core.embed import EmbedderUnavailable
from jmem.core.errors import Ambiguous, Conflict, Invalid, JmemError, NotFound, SecretFound, StorageFailed, from_problem


@pytest.mark.parametrize(
    "error",
    [
        Invalid("x"),
        Invalid("x", code="bad_cursor"),
        Invalid("x", code="unknown_field", field="colour"),
        SecretFound("x"),
        NotFound("x", code="unknown_user"),
        Ambiguous("x"),
        Conflict("x", code="changed"),
        StorageFailed("x", code="disk_full", fix="free some space"),
        EmbedderUnavailable("x"),
        JmemError("x"),
    ],
    ids=lambda error: f"{type(error).__name__}-{error.code}",
)
def test_an_error_keeps_its_exit_code_on_its_way_through_a_problem_document(error: JmemError) -> None:
    told = from_problem(error.problem())
    assert (told.exit_code, told.code, told.fix, told.detail) == (error.exit_code, error.code, error.fix, error.detail)
    assert told.message == error.message
