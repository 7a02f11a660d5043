"""Everything that other modules may use says what it is, in a line at least."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
Defined = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def undocumented(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Public classes, functions and methods without a docstring."""
    for node in body:
        if isinstance(node, Defined) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from undocumented(node.body, f"{prefix}{node.name}.")


def inherits(path: Path, name: str) -> bool:
    """Whether it is a method that says what it is where it is first declared, in a base class."""
    found: object = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for part in name.split("."):
        found = getattr(found, part)
    return not inspect.isclass(found) and inspect.getdoc(found) is not None


def handles(name: str) -> bool:
    """Whether Textual calls a method by its name, which says what happened."""
    return name.rpartition(".")[2].startswith(("on_", "watch_", "validate_"))


def found_in(*patterns: str) -> Iterator[tuple[Path, str]]:
    """Each module with each of its undocumented names."""
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            for name in undocumented(ast.parse(path.read_text(encoding="utf-8")).body):
                yield path, name


def test_every_public_name_has_a_docstring() -> None:
    parts = ("jmem/*.py", "jmem/core/**/*.py", "jmem/cli/**/*.py", "daemon/**/*.py", "sync/**/*.py", "hosted/*/*.py")
    found = found_in(*parts, "bench/**/*.py")
    assert [f"{path.relative_to(ROOT)}: {name}" for path, name in found] == []


def test_every_public_name_of_the_interface_has_a_docstring() -> None:
    found = found_in("jmem/tui/**/*.py")
    missing = [(path, name) for path, name in found if not handles(name) and not inherits(path, name)]
    assert [f"{path.relative_to(ROOT)}: {name}" for path, name in missing] == []
