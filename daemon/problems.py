"""Failures as RFC 9457 problem documents. An answer says what is wrong and how to mend it, never what the daemon holds."""

from __future__ import annotations

from pydantic_core import to_json

from daemon.http import PROBLEM, Answer
from jmem.core.errors import JmemError, RateLimited
from jmem.core.wire.refusals import HttpProblem


def problem_answer(error: JmemError) -> Answer:
    """The problem document of an error."""
    headers = error.answer_headers if isinstance(error, HttpProblem) else ()
    if isinstance(error, RateLimited) and "retry_after" in error.detail:
        headers = ((b"retry-after", str(error.detail["retry_after"]).encode()),)
    return Answer(error.status, to_json(error.problem()), PROBLEM, headers)


def internal(request_id: str) -> Answer:
    """The answer to a failure nobody foresaw: it names the log line and nothing else."""
    return problem_answer(
        JmemError("the daemon failed while answering this", code="internal", request=request_id, fix="jmem daemon logs")
    )
