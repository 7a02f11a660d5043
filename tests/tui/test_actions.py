"""The registry: one place says what can be done, and everything else follows it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import getmembers, isclass
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest
from textual.actions import parse
from textual.binding import Binding

import jmem.tui
from jmem.tui import actions, keymap
from jmem.tui.actions import ACTIONS, SCOPES, Action, keys_of, prints

DOCS = Path(__file__).parents[2] / "docs" / "keys.md"
SHADOWED = {"app.leave", "app.undo"}
"""What a place may do in its own way by the same key."""


def _classes() -> Iterator[type[Any]]:
    for module in walk_packages(jmem.tui.__path__, "jmem.tui."):
        for _, found in getmembers(import_module(module.name), isclass):
            if found.__module__ == module.name and "BINDINGS" in vars(found):
                yield found


def ids_of(cls: type[Any]) -> set[str]:
    return {b.id for b in cls.BINDINGS if isinstance(b, Binding) and b.id}


CLASSES = list(_classes())


def owners(scope: str) -> list[type[Any]]:
    """The classes that take their keys from a scope."""
    return [cls for cls in CLASSES if any(id.partition(".")[0] == scope for id in ids_of(cls))]


def test_every_id_is_of_a_scope_and_there_once():
    ids = [action.id for action in ACTIONS]
    assert len(ids) == len(set(ids))
    assert {action.scope for action in ACTIONS} <= set(SCOPES)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_has_a_method_and_words(action: Action):
    _, method, _ = parse(action.method)
    assert any(hasattr(owner, f"action_{method}") for owner in owners(action.scope))
    assert action.keys
    assert action.title
    assert action.help
    assert not action.help.endswith(".")
    assert all(keymap.known(key) for key in keys_of(action, {}))


def test_every_binding_with_an_id_is_from_the_registry():
    assert {id for cls in CLASSES for id in ids_of(cls)} == set(actions.BY_ID)


@pytest.mark.parametrize("scope", SCOPES)
def test_no_key_does_two_things_in_a_place(scope: str):
    held: dict[str, Action] = {}
    for action in (*actions.of(scope), *(actions.of("app") if scope != "app" else ())):
        for key in map(keymap.name_of, keys_of(action, {})):
            other = held.setdefault(key, action)
            assert other is action or action.id in SHADOWED, f"{key}: {other.id} and {action.id}"


def test_keys_that_print_a_character_are_told_from_those_that_do_not():
    assert all(
        map(prints, ("a", "E", "?", "slash", "space", "question_mark", "asterisk", "minus", "comma", "underscore"))
    )
    assert not any(map(prints, ("enter", "escape", "tab", "f1", "ctrl+p", "delete", "backspace", "up", "pagedown")))


def test_the_page_of_keys_is_up_to_date() -> None:
    from jmem.tui import reference

    assert DOCS.read_text(encoding="utf-8") == reference.page(), "python -m jmem.tui.reference > docs/keys.md"
