"""What a program may do, as forms say it."""

from __future__ import annotations

from typing import Any, Literal

from starlette.responses import Response

from hosted.identity.lookup import Rights
from hosted.web.site import Form, Visit
from jmem.core.errors import Invalid
from jmem.core.model import tags_of


def typed(form: Form) -> dict[str, Any]:
    """The permissions as the form has them, right or wrong, under the names of Rights: what a form with a problem shows again."""
    return {
        "read": form.has("read"), "write": form.has("write"), "delete": form.has("delete"), "review": form.has("review"),
        "tags": _tags(form),
        "writes_per_hour": form.get("writes_per_hour"),
    }  # fmt: skip


def rights_asked(form: Form, client: str) -> Rights:
    """The permissions that are ticked; with the scope `tags`, only memories with one of the tags named.

    Raises Invalid for a cap that is no number, and for that scope without a tag, which would shut out a program unsaid.
    """
    tags = _tags(form)
    if tags == ():
        raise Invalid("name at least one tag, or let it see all memories", field="tags")
    cap = form.get("writes_per_hour").strip()
    if cap and not (cap.isascii() and cap.isdigit() and len(cap) < 8 and int(cap) > 0):
        raise Invalid(
            "the number of changes an hour is a whole number above nothing, or empty", field="writes_per_hour"
        )
    return Rights(client, form.has("read"), form.has("write"), form.has("delete"), tags, form.has("review"),
                  int(cap) if cap else None)  # fmt: skip


def _tags(form: Form) -> tuple[str, ...] | None:
    return tuple(tags_of(form.get("tags"))) if form.get("scope") == "tags" else None


def rights_page(visit: Visit, known: dict[str, Any], what: Literal["connection", "key"], problem: str = "") -> Response:
    """The form of a key or a program as it is known; with what is wrong with the form that was sent, as it was sent."""
    form = {"rights": known, "named": known["name"]}
    if problem:
        form = {"rights": typed(visit.form), "named": visit.form.get("name")}
    return visit.page("connection.html", 422 if problem else 200, c=known, **form, problem=problem, what=what)
