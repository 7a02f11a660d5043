from __future__ import annotations

import pytest

from jmem.core.clock import MAX_COUNTER, STAMP, Clock, new_node, stamp_ms


def test_a_stamp_is_ms_counter_and_node():
    clock = Clock(node="a1b2c3d4")
    assert clock.tick(0x0199F3A1C2D4) == "0199f3a1c2d4-0000-a1b2c3d4"
    assert stamp_ms("0199f3a1c2d4-0003-a1b2c3d4") == 0x0199F3A1C2D4


def test_stamps_rise_while_the_wall_clock_stands_or_goes_back():
    clock = Clock(node="00000001")
    stamps = [clock.tick(now) for now in (1000, 1000, 999, 0, 1000, 1001, 1001)]
    assert stamps == sorted(set(stamps))
    assert stamps[-1] == f"{1001:012x}-0001-00000001"


def test_a_full_counter_goes_over_into_the_next_millisecond():
    clock = Clock(last=f"{5000:012x}-{MAX_COUNTER:04x}-ffffffff", node="00000001")
    assert clock.tick(5000) == f"{5001:012x}-0000-00000001"


def test_what_is_written_after_a_foreign_stamp_sorts_after_it():
    clock = Clock(node="00000001")
    first = clock.tick(1000)
    foreign = f"{9000:012x}-0007-ffffffff"
    clock.see(foreign)
    clock.see(first)
    assert clock.tick(1001) > foreign


def test_the_clock_goes_on_from_the_log():
    last = f"{7000:012x}-0002-aaaaaaaa"
    assert Clock(last).tick(10) > last


@pytest.mark.parametrize("bad", ["", "0199f3a1c2d4-0003", "0199F3A1C2D4-0003-a1b2c3d4", "0199f3a1c2d4-0003-a1b2c3d4x"])
def test_what_is_no_stamp(bad):
    assert STAMP.fullmatch(bad) is None


def test_nodes_are_random():
    assert len({new_node() for _ in range(50)}) == 50
    assert STAMP.fullmatch(Clock().tick())
