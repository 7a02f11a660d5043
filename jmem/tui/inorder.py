"""Keys one after the other: what a key opens gets those that were typed ahead.

Textual hands every key to what has the focus when it arrives. A key that opens a dialog is still on its way up to its
binding then, so that the next ones would go to what stood before: a text that is typed at once after `a` would be
taken for commands on the list.

Characters that come faster than they are taken in, as a paste into a terminal that does not mark pastes, are put in at
once: each by itself would be laid out and drawn by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.widgets import TextArea

STUCK_S = 2.0
"""A key that has not come to its end by then is not waited for."""
FOCUS_S = 0.5
"""As long at most does a new screen take to say what has the focus."""
LOOK_S = 0.01
MANY = 12
"""So many characters that wait together are put in as one text."""
_ROUNDS = 2
"""Through the nodes that a key passes: the second one follows the messages that it made, as of a pressed button."""


class InOrder(App[None]):
    """The part of the app that hands keys and pastes on."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead: deque[events.Event] = deque()
        self._under_way: events.Event | None = None
        self._gathering = False

    async def on_event(self, event: events.Event) -> None:
        """Keep a key until the one before has done what it does."""
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            if self.screen_stack or not isinstance(event, events.Key | events.Paste):  # none while the app ends
                await super().on_event(event)
            return
        self._ahead.append(event)
        if self._under_way is None and not self._gathering:
            if self._written(event):
                self._gathering = self.call_later(self._hand_on)  # behind the characters that are here already
            else:
                await self._hand_on()

    async def _hand_on(self) -> None:
        """The next one to what has the focus now."""
        self._under_way, self._gathering = None, False
        if not self.screen_stack:
            return
        await self._write()
        if not self._ahead:
            return
        event = self._under_way = self._ahead.popleft()
        screen = self.screen
        nodes: list[MessagePump] = [node for node in (self.focused or screen).ancestors_with_self if node is not self]
        asyncio.get_running_loop().call_later(STUCK_S, self.call_later, self._done, event)
        await super().on_event(event)
        self._follow(event, screen, [*nodes, self] * _ROUNDS)

    async def _write(self) -> None:
        """The characters that wait, to what one writes in."""
        keys: list[events.Key] = []
        while self._ahead and (key := self._ahead[0]) and isinstance(key, events.Key) and self._written(key):
            keys.append(key)
            self._ahead.popleft()
        if len(keys) < MANY:
            for key in keys:
                await super().on_event(key)
        else:
            text = "".join("\n" if key.key == "enter" else key.character or "" for key in keys)
            await super().on_event(events.Paste(text))

    def _written(self, event: events.Event) -> bool:
        """Whether it is a character of what one writes, or a line break in it, which opens nothing."""
        focused = self.focused
        if not isinstance(event, events.Key) or focused is None:
            return False
        return focused.check_consume_key(event.key, event.character) or (
            event.key == "enter" and isinstance(focused, TextArea)
        )

    def _follow(self, event: events.Event, screen: Screen[Any], nodes: Sequence[MessagePump]) -> None:
        """Behind a key, from node to node; one that is gone is passed over."""
        if not nodes:
            self._settle(event, screen, asyncio.get_running_loop().time() + FOCUS_S)
        elif not nodes[0].call_later(self._follow, event, screen, nodes[1:]):
            self._follow(event, screen, nodes[1:])

    def _settle(self, event: events.Event, screen: Screen[Any], until: float) -> None:
        """Where another screen is in front now, wait until something of it has the focus."""
        loop = asyncio.get_running_loop()
        new = self.screen_stack and self.screen is not screen and self.focused is None
        again: Callable[[], object] = partial(self._settle, event, screen, until)
        if new and loop.time() < until:
            loop.call_later(LOOK_S, self.call_later, again)
        else:
            self.call_later(self._done, event)

    async def _done(self, event: events.Event) -> None:
        if event is self._under_way:
            await self._hand_on()
