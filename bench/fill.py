"""Homes filled with many memories, kept between runs under the user's cache folder."""

from __future__ import annotations

from pathlib import Path


def filled(count: int, *, synthetic: bool) -> Path:
    raise NotImplementedError
