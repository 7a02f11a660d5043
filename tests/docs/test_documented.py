"""Every command, setting, environment variable and error code stands in the guide."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jmem.core import errors
from jmem.core.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("jmem", "daemon", "sync", "hosted")


ERRORS: dict[str, type[errors.JmemError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.JmemError)
}
"""The classes an error can have, by name."""


@dataclass(frozen=True)
class Raised:
    """One place that makes an error."""

    code: str
    where: str
    status: int
    exit_code: int


@dataclass(frozen=True)
class Kind:
    """What an error of a class has, unless it says otherwise."""

    code: str
    status: int
    exit_code: int


def trees() -> list[tuple[Path, ast.Module]]:
    """Every module of the product."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def kinds(modules: list[tuple[Path, ast.Module]]) -> dict[str, Kind]:
    """The classes of errors by name: those of jmem.core.errors, and what is derived from them anywhere."""
    found = {name: Kind(kind.code, kind.status, kind.exit_code) for name, kind in ERRORS.items()}
    classes = [node for _, tree in modules for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while added := {
        node.name: _derived(node, found)
        for node in classes
        if node.name not in found and any(isinstance(base, ast.Name) and base.id in found for base in node.bases)
    }:
        found |= added
    return found


def here(tree: ast.Module, everywhere: dict[str, Kind]) -> dict[str, Kind]:
    """The classes of errors by name, as a module knows them: its own go before others of the same name."""
    own = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    known = {name: kind for name, kind in everywhere.items() if name not in {node.name for node in own}}
    for node in own:
        if any(isinstance(base, ast.Name) and base.id in known for base in node.bases):
            known[node.name] = _derived(node, known)
    return known


def _derived(node: ast.ClassDef, known: dict[str, Kind]) -> Kind:
    base = next(known[b.id] for b in node.bases if isinstance(b, ast.Name) and b.id in known)
    values = _values(node)
    return Kind(
        values.get("code", base.code), values.get("status", base.status), values.get("exit_code", base.exit_code)
    )


def _values(node: ast.ClassDef) -> dict[str, Any]:
    """What a class sets for all of its errors."""
    values: dict[str, Any] = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            names = statement.targets[0]
            if isinstance(names, ast.Tuple):
                values |= dict(zip((n.id for n in names.elts), ast.literal_eval(statement.value), strict=True))  # type: ignore[attr-defined]
            elif isinstance(names, ast.Name) and isinstance(statement.value, ast.Constant):
                values[names.id] = statement.value.value
    return values


def raised_errors() -> list[Raised]:
    """Every error with a code of its own: `Kind(…, code="…")`, `HttpProblem(status, "…")`, a class attribute, and each
    class that is raised with the code it has."""
    modules = trees()
    everywhere = kinds(modules)
    found: list[Raised] = []
    for path, tree in modules:
        known = here(tree, everywhere)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                made = _made(node, known)
            elif isinstance(node, ast.ClassDef) and node.name in known and "code" in _values(node):
                kind = known[node.name]
                made = kind.code, kind.status, kind.exit_code
            else:
                continue
            if made:
                found.append(Raised(made[0], f"{path.relative_to(ROOT)}:{node.lineno}", *made[1:]))
    return found


def _made(call: ast.Call, known: dict[str, Kind]) -> tuple[str, int, int] | None:
    """Code, status and exit code of an error that a call makes."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name == "HttpProblem":
        status, code = call.args[:2]
        if not isinstance(status, ast.Constant) or not isinstance(code, ast.Constant):
            return None  # passes on what the server said
        return str(code.value), int(str(status.value)), _exit_over_http(str(code.value), int(str(status.value)))
    if name not in known:
        return None
    kind = known[name]
    for keyword in call.keywords:
        if keyword.arg == "code":
            if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
                return keyword.value.value, kind.status, kind.exit_code
            return None  # passes on another error's
    return kind.code, kind.status, kind.exit_code


def _exit_over_http(code: str, status: int) -> int:
    return errors.from_problem({"code": code, "status": status, "title": ""}).exit_code


def documented_errors() -> dict[str, tuple[set[int], set[int]]]:
    """code -> (HTTP statuses, exit codes), as the page has them; no statuses where it shows none."""
    found: dict[str, tuple[set[int], set[int]]] = {}
    columns: list[str] = []
    for line in (DOCS / "errors.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "code":
            columns = cells
        elif named := re.fullmatch(r"`([a-z0-9_]+)`", cells[0]):
            row = dict(zip(columns, cells, strict=True))
            statuses, exits = (
                {int(number) for number in re.findall(r"\d+", row.get(column, ""))} for column in ("HTTP", "exit")
            )
            found[named[1]] = (statuses, exits)
    return found


def test_error_codes_are_documented() -> None:
    documented = documented_errors()
    raised = {one.code: one.where for one in raised_errors()}
    assert len(raised) > 60
    assert not {f"{code} ({where})" for code, where in raised.items() if code not in documented}
    assert set(documented) <= set(raised), "the page names codes that nothing raises"


def test_the_page_has_the_statuses_and_exit_codes_that_errors_have() -> None:
    documented = documented_errors()
    statuses: dict[str, set[int]] = {}
    exits: dict[str, set[int]] = {}
    for one in raised_errors():
        statuses.setdefault(one.code, set()).add(one.status)
        exits.setdefault(one.code, set()).add(one.exit_code)
    wrong = {code: (page, exits.get(code)) for code, (_, page) in documented.items() if page != exits.get(code)}
    assert not wrong, "code: (exit codes on the page, exit codes of the classes that carry it)"
    wrong = {
        code: (page, statuses.get(code))
        for code, (page, _) in documented.items()
        if page and page != statuses.get(code)
    }
    assert not wrong, "code: (HTTP statuses on the page, HTTP statuses of the classes that carry it)"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.key)
def test_settings_are_documented(setting: object) -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    row = next((line for line in page.splitlines() if line.startswith(f"| `{setting.key}`")), "")  # type: ignore[attr-defined]
    assert row, f"{setting.key} is not in docs/configuration.md"  # type: ignore[attr-defined]
    if setting.env:  # type: ignore[attr-defined]
        assert f"`{setting.env}`" in row  # type: ignore[attr-defined]
    default = str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default)  # type: ignore[attr-defined]
    assert not default or default in row


def test_links_lead_somewhere() -> None:
    links = [
        (page, target)
        for page in [ROOT / "README.md", *DOCS.rglob("*.md")]
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target
    ]
    assert len(links) > 20
    assert not [
        f"{page.relative_to(ROOT)} -> {target}" for page, target in links if not (page.parent / target).exists()
    ]


def test_the_first_page_of_the_guide_names_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert not [p.name for p in DOCS.glob("*.md") if p.name != "README.md" and f"({p.name})" not in index]
