"""Editing what waits for review: saving it approves it, in the same step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.content import Content

from jmem.tui.screens.editor import Editor


class Approving(Editor):
    """As the editor, but what it saves is active; also where nothing was changed."""

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(".box").border_title = Content("Edit, then approve: saving it approves it")

    @staticmethod
    def _values(touched: Mapping[str, str]) -> dict[str, Any]:
        return {**Editor._values(touched), "state": "active"}

    def action_save(self) -> None:
        if not self.changed and not self._saving:
            self._send({})
        else:
            super().action_save()
