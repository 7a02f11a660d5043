"""`python -m bench`: what can be measured, one command each."""

from __future__ import annotations

import ast
from pathlib import Path

_HELPERS = {"__init__", "__main__", "harness", "home", "text", "fill", "floor", "tmux", "writers", "sync_wire"}


def benches() -> dict[str, str]:
    """Name -> first line of its docstring."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in _HELPERS:
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[path.stem] = doc.splitlines()[0] if doc else ""
    return found


if __name__ == "__main__":
    for name, line in benches().items():
        print(f"python -m bench.{name:<10} {line}")
    print("\nEach takes --quick, --json and --strict (exit 1 when over budget).")
