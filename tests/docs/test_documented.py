"""Every command, setting, environment variable and error code stands in the guide."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from jmem.core.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("jmem", "daemon", "sync")


def error_codes() -> dict[str, str]:
    """code -> where it is raised: `code="…"` of a call, or the class attribute of an error."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for code in _codes(node):
                    found.setdefault(code, f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def _codes(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Call):
        return [
            k.value.value
            for k in node.keywords
            if k.arg == "code" and isinstance(k.value, ast.Constant) and isinstance(k.value.value, str)
        ]
    if isinstance(node, ast.ClassDef):
        codes = []
        for statement in node.body:
            if isinstance(statement, ast.Assign):
                names = statement.targets[0]
                values = statement.value
                pairs = (
                    zip(names.elts, values.elts, strict=True)
                    if isinstance(names, ast.Tuple) and isinstance(values, ast.Tuple)
                    else [(names, values)]
                )
                codes += [
                    v.value
                    for n, v in pairs
                    if isinstance(n, ast.Name) and n.id == "code" and isinstance(v, ast.Constant)
                ]
        return codes
    return []


def test_error_codes_are_documented() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z0-9_]+)`", page, re.M))
    codes = error_codes()
    assert len(codes) > 20
    assert not {f"{code} ({where})" for code, where in codes.items() if code not in documented}
    assert documented <= set(codes), "the page names codes that nothing raises"


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
