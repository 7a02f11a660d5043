"""The person's own keys: what a key is called, and where one would do two things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from textual.keys import KEY_ALIASES, KEY_NAME_REPLACEMENTS, Keys, key_to_character

from jmem.tui.actions import SCOPES, Action, keys_of, of

_MODIFIERS = frozenset(("ctrl", "shift", "alt", "meta", "super", "hyper"))
_NAMES = frozenset(
    [key.value for key in Keys] + [*KEY_NAME_REPLACEMENTS.values(), "space", "enter", "tab"]
    + [alias for aliases in KEY_ALIASES.values() for alias in aliases] + list(KEY_ALIASES)
)  # fmt: skip


def known(key: str) -> bool:
    """Whether some keyboard can send it: `e`, `?`, `f4`, `ctrl+e`, `question_mark`."""
    *modifiers, name = key.split("+") if key != "+" else [key]
    if not name or any(modifier not in _MODIFIERS for modifier in modifiers):
        return False
    return len(name) == 1 or name in _NAMES or f"ctrl+{name}" in _NAMES or key_to_character(name) is not None


def name_of(key: str) -> str:
    """As Textual calls it: `question_mark` for `?`."""
    from textual.keys import _character_to_key

    return _character_to_key(key) if len(key) == 1 else key


def clashes(keys: Mapping[str, str]) -> Iterator[tuple[str, Action, Action]]:
    """(key, action, action) for each key that would do two things in one place because of `keys`, the person's own.

    Of ours a place may have one that is also one of everywhere; there it comes first.
    """
    everywhere = of("app")
    for scope in SCOPES:
        held: dict[str, Action] = {}
        for action in (*of(scope), *(everywhere if scope != "app" else ())):
            for key in map(name_of, keys_of(action, keys)):
                other = held.setdefault(key, action)
                twice = scope != "app" and other.scope == action.scope == "app"  # told of the scope app already
                if other is not action and not twice and (action.id in keys or other.id in keys):
                    yield key, other, action


def clashing(action: Action, key: str, keys: Mapping[str, str]) -> list[Action]:
    """The actions that `key` runs already where `action` holds."""
    scopes = SCOPES if action.scope == "app" else (action.scope, "app")
    return [
        other for scope in scopes for other in of(scope)
        if other is not action and name_of(key) in map(name_of, keys_of(other, keys))
    ]  # fmt: skip


def told(key: str, one: Action, other: Action) -> str:
    """A clash in words."""
    where = SCOPES[one.scope if one.scope != "app" else other.scope].lower()
    return f"the key {key} is both {one.title} ({one.id}) and {other.title} ({other.id}) in {where}"
