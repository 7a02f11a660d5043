"""`docs/operate/settings.md` and `.env.example`, written from the settings themselves; a test keeps them equal.

python -m hosted.operate.settings_page
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_type_hints

from hosted.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE, EXAMPLE = ROOT / "docs" / "operate" / "settings.md", ROOT / ".env.example"
_KINDS = {str: "text", int: "whole number", float: "number", bool: "yes or no"}
_HEAD = """# Settings of the hosted backend

All of them come from the environment; nothing else is read. `python -m hosted check` tells which are wrong, and what a
wrong one breaks. Those marked *secret* belong in the platform's store of secrets; none of them is ever logged.

| name | what | kind | default |
|---|---|---|---|
"""
_FOOT = """
Written by `python -m hosted.operate.settings_page`; change `hosted/settings.py` instead of this page.
"""


def page() -> str:
    """The page of all settings."""
    kinds = get_type_hints(Settings)
    lines = [
        f"| `{each.name.upper()}` | {each.metadata['about']}{' *(secret)*' if each.metadata['secret'] else ''} |"
        f" {_KINDS[kinds[each.name]]} | {_default(each)} |"
        for each in fields(Settings)
    ]
    return _HEAD + "\n".join(lines) + "\n" + _FOOT


def example() -> str:
    """An environment to fill in: what has to be set first, then everything else with its default."""
    needed = [each for each in fields(Settings) if each.name in NEEDED]
    other = [each for each in fields(Settings) if each.name not in NEEDED]
    told = ["# Copy to .env and fill in; docs/operate/settings.md tells more. Never commit the copy.", ""]
    told += [line for each in needed for line in (f"# {each.metadata['about']}", f"{each.name.upper()}=")]
    told += ["", "# The rest, with their defaults."]
    for each in other:
        value = "" if each.default in (MISSING, "") else _text(each.default)
        told += [f"# {each.metadata['about']}", f"# {each.name.upper()}={value}"]
    return "\n".join(told) + "\n"


NEEDED = (
    "database_url",
    "migration_database_url",
    "supabase_url",
    "supabase_anon_key",
    "supabase_service_key",
    "public_url",
)
"""What every deployment sets."""


def _default(setting: Field[Any]) -> str:
    if setting.default is MISSING:
        return "has to be set"
    return f"`{_text(setting.default)}`" if setting.default != "" else ""


def _text(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page())
    EXAMPLE.write_text(example())
