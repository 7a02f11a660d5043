"""Editing JSON with comments as text: what is not ours stays, to the byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmem.cli.connect import jsonc

ENTRY = {"command": "/opt/jmem", "args": ["mcp", "--client", "zed"], "env": {"JMEM_HOME": "/srv/m"}}

ZED = """// Zed settings
{
  "theme": "One Dark", // the only one
  /* servers */
  "context_servers": {
    "other": {
      "command": "npx",
      "args": ["-y", "thing"], // keep me
    },
    // "old": {"command": "gone"},
  },
  "vim_mode": false,
}
"""


def test_adds_after_the_last_member_and_its_comments() -> None:
    out = jsonc.put(ZED, ("context_servers", "jmem"), ENTRY)
    assert out == ZED.replace(
        '    // "old": {"command": "gone"},\n',
        '    // "old": {"command": "gone"},\n'
        '    "jmem": {\n      "command": "/opt/jmem",\n      "args": ["mcp", "--client", "zed"],\n'
        '      "env": {\n        "JMEM_HOME": "/srv/m"\n      }\n    },\n',
    )
    assert jsonc.remove(out, ("context_servers", "jmem")) == ZED


@pytest.mark.parametrize(
    "text",
    [
        '{\n\t"servers": {\n\t\t"a": {"command": "x"}\n\t}\n}',
        '{"servers": {"a": {"command": "x"}}}',
        '{"servers":{"a":1},"z":2}\n',
        '{\r\n    "servers": {\r\n        "a": 1 // one\r\n    }\r\n}\r\n',
        '\ufeff{\n  "servers": {\n    "a": 1\n  }\n}\n',
        '{ "servers": { "a": 1 } }',
        '{\n  "servers": {\n    "a": [1, {"b": "}"}], // "jmem": {}\n  }, /* x */ "q": "\\"{"\n}\n',
        '{\n  "servers": {}\n}\n',
        '{"servers": {}}',
    ],
)
def test_put_then_remove_gives_the_text_back(text: str) -> None:
    out = jsonc.put(text, ("servers", "jmem"), ENTRY)
    assert jsonc.get(out, ("servers", "jmem")) == ENTRY
    assert jsonc.remove(out, ("servers", "jmem")) == text


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", '{\n  "servers": {\n    "jmem": 1\n  }\n}\n'),
        ("  \n", '{\n  "servers": {\n    "jmem": 1\n  }\n}\n'),
        ("// mine\n", '// mine\n{\n  "servers": {\n    "jmem": 1\n  }\n}\n'),
        ("{}", '{\n  "servers": {\n    "jmem": 1\n  }\n}'),
        ('{"a": 1}', '{"a": 1, "servers": {"jmem": 1}}'),
        ('{\n    "a": 1\n}\n', '{\n    "a": 1,\n    "servers": {\n        "jmem": 1\n    }\n}\n'),
    ],
)
def test_missing_parents_are_made(text: str, want: str) -> None:
    assert jsonc.put(text, ("servers", "jmem"), 1) == want


def test_replaces_in_place_and_the_last_of_twins() -> None:
    text = '{\n  "s": {\n    "jmem": {"command": "old"}, // mine\n    "b": 2\n  }\n}\n'
    assert jsonc.put(text, ("s", "jmem"), {"command": "new"}) == text.replace(
        '{"command": "old"}', '{\n      "command": "new"\n    }'
    )
    assert jsonc.put('{"s": {"jmem": 1, "jmem": 2}}', ("s", "jmem"), 3) == '{"s": {"jmem": 1, "jmem": 3}}'


def test_removes_first_middle_last_and_keeps_a_comment_on_the_line() -> None:
    text = '{\n  "a": 1,\n  "b": 2, // two\n  "c": 3\n}\n'
    assert jsonc.remove(text, ("a",)) == '{\n  "b": 2, // two\n  "c": 3\n}\n'
    assert jsonc.remove(text, ("b",)) == '{\n  "a": 1,\n  // two\n  "c": 3\n}\n'
    assert jsonc.remove(text, ("c",)) == '{\n  "a": 1,\n  "b": 2 // two\n}\n'
    assert jsonc.remove('{"a":1,"b":2,"c":3}', ("b",)) == '{"a":1,"c":3}'
    assert jsonc.remove(text, ("nope",)) == text
    assert jsonc.remove(text, ("nope", "deeper")) == text


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"a": }', "line 1, column 7"),
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3"),
        ('{"a": 1', "line 1, column 8"),
        ("{'a': 1}", "line 1, column 2"),
        ('{"a": 1} x', "line 1, column 10"),
        ('{"a": "\n"}', "line 1, column 7"),
        ("[1, 2", "line 1, column 6"),
        ("[" * 500, "nested too deeply"),
        ("/* open", "line 1, column 1"),
    ],
)
def test_broken_text_says_where(text: str, where: str) -> None:
    with pytest.raises(jsonc.Broken, match=where):
        jsonc.put(text, ("servers", "jmem"), 1)


@pytest.mark.parametrize("text", ['{"a": 1,}', '{"a": [1,]}', '// c\n{"a": 1}', '{"a": 1 /* c */}'])
def test_strict_refuses_what_plain_json_does_not_allow(text: str) -> None:
    jsonc.parse(text)
    with pytest.raises(jsonc.Broken, match="plain JSON"):
        jsonc.parse(text, strict=True)


@pytest.mark.parametrize("text", ["[]", "3", '{"servers": []}', '{"servers": null}'])
def test_a_parent_that_is_no_object_is_an_error(text: str) -> None:
    with pytest.raises(jsonc.Broken, match="is not an object"):
        jsonc.put(text, ("servers", "jmem"), 1)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
_indents = st.sampled_from([None, 1, 2, 4, "\t"])


@given(
    st.dictionaries(st.text(max_size=4), _json, max_size=4),
    st.none() | st.dictionaries(st.text(max_size=4), _json, max_size=3),
    _indents,
)
def test_any_json_round_trips(
    outer: dict[str, object], inner: dict[str, object] | None, indent: int | str | None
) -> None:
    outer.pop("servers", None)
    if inner is not None:
        inner.pop("jmem", None)
        outer["servers"] = inner
    text = json.dumps(outer, indent=indent, ensure_ascii=False)
    assert jsonc.parse(text, strict=True).value == outer
    out = jsonc.put(text, ("servers", "jmem"), ENTRY)
    assert json.loads(out) == {**outer, "servers": {**(inner or {}), "jmem": ENTRY}}
    if inner:
        assert jsonc.remove(out, ("servers", "jmem")) == text
    else:
        assert json.loads(jsonc.remove(out, ("servers", "jmem"))) == {**outer, "servers": {}}
