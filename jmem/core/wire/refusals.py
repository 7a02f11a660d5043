"""Refusals by HTTP itself, and what a validation found, as errors of ours."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from jmem.core.errors import Invalid, JmemError

MAX_ERRORS = 100
"""Reasons of one refusal; each costs a thousand times what it took to send what is wrong."""


class HttpProblem(JmemError):
    """A refusal by HTTP itself: its status and code are its own. `answer_headers` go with the answer."""

    def __init__(
        self, status: int, code: str, message: str, *, fix: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (), **detail: Any,
    ) -> None:  # fmt: skip
        super().__init__(message, code=code, fix=fix, **detail)
        self.status = status
        self.answer_headers = headers


def invalid_answer(error: ValidationError) -> Invalid:
    """What a validation found: every field with its reason, the first one as the title. Values are not repeated."""
    if error.error_count() > MAX_ERRORS:
        return Invalid(f"{error.error_count():,} things in the request are not as they should be",
                       fix="send the fields that the documentation names, and no others")  # fmt: skip
    found = error.errors(include_url=False, include_context=False, include_input=False)
    errors = [{"field": ".".join(map(str, e["loc"])), "message": _reason(e["type"], e["msg"])} for e in found]
    unknown = next((e for e in found if e["type"] == "extra_forbidden"), None)
    if unknown is not None:
        name = ".".join(map(str, unknown["loc"]))
        return Invalid(f"there is no field {name!r} here", code="unknown_field", field=name, errors=errors,
                       fix=f"leave {name} out")  # fmt: skip
    first = errors[0]
    title = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
    if found[0]["type"] == "json_invalid" and (reason := _not_utf8(found[0]["msg"])):
        return Invalid(reason, errors=errors, fix="convert it to UTF-8")
    return Invalid(title, field=first["field"] or None, errors=errors)


_REASONS = {"missing": "is missing", "extra_forbidden": "is not a field of this request"}


def _reason(kind: str, message: str) -> str:
    return _REASONS.get(kind) or message[:1].lower() + message[1:]


def _not_utf8(message: str) -> str | None:
    """What a JSON parser's words on text that is no text mean, with the place; None when they mean something else."""
    place = message.rpartition(" at ")[2]
    if "unexpected end of hex escape" in message or "surrogate" in message:
        return f"the body is not valid UTF-8: half a character (a lone surrogate) is escaped at {place}"
    return f"the body is not valid UTF-8 at {place}" if "invalid unicode code point" in message else None
