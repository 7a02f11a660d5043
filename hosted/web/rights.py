"""What a program may do, as forms say it."""

from __future__ import annotations

from hosted.identity.lookup import Rights
from hosted.web.site import Form


def tags_of(text: str) -> tuple[str, ...]:
    """Tags as people write them: with commas or spaces between, with or without `#`."""
    parts = text.split(",") if "," in text else text.split()
    return tuple(dict.fromkeys(tag for part in parts if (tag := part.strip().lstrip("#").strip())))


def rights_asked(form: Form, client: str) -> Rights:
    """The permissions that are ticked; with the scope `tags`, only memories with one of the tags named."""
    tags = tags_of(form.get("tags")) if form.get("scope") == "tags" else None
    return Rights(client, form.has("read"), form.has("write"), form.has("delete"), tags)
