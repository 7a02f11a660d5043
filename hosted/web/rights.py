"""What a program may do, as forms say it."""

from __future__ import annotations

from typing import Any

from hosted.identity.lookup import Rights
from hosted.web.site import Form
from jmem.core.errors import Invalid


def tags_of(text: str) -> tuple[str, ...]:
    """Tags as people write them: with commas or spaces between, with or without `#`."""
    parts = text.split(",") if "," in text else text.split()
    return tuple(dict.fromkeys(tag for part in parts if (tag := part.strip().lstrip("#").strip())))


def typed(form: Form) -> dict[str, Any]:
    """The permissions as the form has them, right or wrong, under the names of Rights: what a form with a problem shows again."""
    return {
        "read": form.has("read"), "write": form.has("write"), "delete": form.has("delete"), "review": form.has("review"),
        "tags": tags_of(form.get("tags")) if form.get("scope") == "tags" else None,
        "writes_per_hour": form.get("writes_per_hour"),
    }  # fmt: skip


def rights_asked(form: Form, client: str) -> Rights:
    """The permissions that are ticked; with the scope `tags`, only memories with one of the tags named.

    Raises Invalid for a cap that is no number, and for that scope without a tag, which would shut out a program unsaid.
    """
    tags = tags_of(form.get("tags")) if form.get("scope") == "tags" else None
    if tags == ():
        raise Invalid("name at least one tag, or let it see all memories", field="tags")
    cap = form.get("writes_per_hour").strip()
    if cap and not (cap.isascii() and cap.isdigit() and len(cap) < 8 and int(cap) > 0):
        raise Invalid(
            "the number of changes an hour is a whole number above nothing, or empty", field="writes_per_hour"
        )
    return Rights(client, form.has("read"), form.has("write"), form.has("delete"), tags, form.has("review"),
                  int(cap) if cap else None)  # fmt: skip
