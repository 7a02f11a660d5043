from __future__ import annotations

import json

from .conftest import Jmem


def test_a_field_at_its_default_is_no_change(jmem: Jmem) -> None:
    jmem = jmem.apart()
    id = jmem.ok("add", "as it was").out.strip()
    for command in (["rm", id], ["restore", id], ["tag", id, "+home"], ["undo"], ["edit", id, "--archive"], ["undo"]):
        jmem.ok(*command)
    assert jmem.ok("diff", id, "1").lines == ["--- 1", "+++ 7", "  as it was"]
    assert json.loads(jmem.ok("diff", id, "1", "--json").out)["changes"] == {}
    assert json.loads(jmem.ok("diff", id, "1", "2", "--json").out)["changes"] == {
        "deleted": {"old": False, "new": True}
    }
