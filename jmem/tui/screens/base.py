"""What every place of the interface has: its keys from the registry, the top bar, the key bar, and errors in words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual import on
from textual._styles_cache import StylesCache
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import BindingType
from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from jmem.core.errors import JmemError
from jmem.tui import actions
from jmem.tui.feed import Accessed, Changed
from jmem.tui.widgets.keybar import KeyBar
from jmem.tui.widgets.topbar import TopBar

if TYPE_CHECKING:
    from jmem.client import Client
    from jmem.tui.app import JmemApp
    from jmem.tui.remote import Remote

T = TypeVar("T")


class Missed(Message):
    """The daemon did not do what `Place.fetch` asked of it."""

    def __init__(self, error: JmemError) -> None:
        super().__init__()
        self.error = error


class Scoped:
    """Takes its BINDINGS from the registry by its `scope`. `everywhere`: ids of the app's actions that a dialog runs too,
    where no key reaches the app."""

    scope: ClassVar[str] = ""
    everywhere: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        if "scope" in cls.__dict__:
            more = [actions.BY_ID[id].binding() for id in cls.everywhere]
            cls.BINDINGS = [*actions.bindings(cls.scope), *more]  # type: ignore[attr-defined]
        super().__init_subclass__(**options)

    @property
    def jmem(self) -> JmemApp:
        """The app, by its own type."""
        return cast("JmemApp", self.app)  # type: ignore[attr-defined]

    @property
    def remote(self) -> Remote:
        """The daemon."""
        return self.jmem.remote

    def begin(self, work: Callable[[], Awaitable[None]], *, group: str, exclusive: bool = False) -> None:
        """Run a worker. Its coroutine is made when it starts: one that is replaced before that leaves none behind."""
        self.run_worker(work, group=group, exclusive=exclusive)  # type: ignore[attr-defined]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that print a character belong to what is being written while something is."""
        focused: Widget | None = self.app.focused  # type: ignore[attr-defined]
        writing = focused is not None and focused.check_consume_key("a", "a")
        if writing and (found := self.jmem.action_of(self.scope, action)) is not None:
            return any(not actions.prints(key) for key in actions.keys_of(found, self.jmem.prefs.keys))
        return True


def say(screen: Any, error: JmemError) -> None:
    """Tell an error with what mends it."""
    text = f"{error.message}\n{error.fix}" if error.fix else error.message
    screen.app.notify(text, severity="error", timeout=8, markup=False)


class Place(Scoped, Screen[None]):
    """A place with a tab. `reload` is called when all may be old. `behind`: something happened that it was not told of,
    because another place was seen."""

    DEFAULT_CSS = """
    Place { background: $background; layers: base; }
    """

    _settling = False
    behind = False
    follows: ClassVar[type[Message]] = Changed
    """what makes it be behind"""

    def compose(self) -> ComposeResult:
        yield TopBar(self.scope)
        yield from self.content()
        yield KeyBar()

    def content(self) -> ComposeResult:
        """What stands between the bars."""
        yield from ()

    def on_mount(self) -> None:
        self.show_facts()
        self.reload()

    def on_screen_suspend(self) -> None:
        self.query(KeyBar).refresh()

    def on_screen_resume(self) -> None:
        self.query(KeyBar).refresh()
        self.show_facts()
        if self.behind:
            self.behind = False
            self.catch_up()

    def catch_up(self) -> None:
        """One is back, and something happened meanwhile."""
        self.reload()

    def seek(self, id: str, *, first: bool = False) -> None:
        """Go to a memory that was just made or brought back, once it is there; `first`: as the newest of all."""

    def show_facts(self) -> None:
        """Draw what the app knows of the daemon."""
        for bar in self.query(TopBar):
            bar.facts = dict(self.jmem.facts)

    def reload(self) -> None:
        """Read everything that is shown again."""

    def memory_changed(self, change: Changed) -> None:
        """A memory was written by somebody; by default everything is read again."""
        self.reload()

    def accessed(self, access: Accessed) -> None:
        """A program asked for something."""

    def soon(self, seconds: float, do: Callable[[], None]) -> None:
        """Do it in so many seconds, once, however often something is to be done soon until then."""

        def due() -> None:
            self._settling = False
            do()

        if not self._settling:
            self._settling = True
            self.set_timer(seconds, due)

    def fetch(
        self, call: Callable[[Client], T], then: Callable[[T], Message], *, group: str = "", exclusive: bool = False
    ) -> None:
        """Ask the daemon; what it answers comes back as the message that `then` makes, an error is told."""

        async def work() -> None:
            try:
                answer = await self.remote(call)
            except JmemError as error:
                self.post_message(Missed(error))
            else:
                self.post_message(then(answer))

        self.begin(work, group=group or "fetch", exclusive=exclusive)

    @on(Missed)
    def _tell_missed(self, missed: Missed) -> None:
        self.missed(missed.error)

    def missed(self, error: JmemError) -> None:
        """The daemon could not do something."""
        say(self, error)


class Once:
    """A screen that leaves once: a second key, or an answer that comes late, closes nothing else and is answered by nobody."""

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Leave, with whatever stands above; nothing happens where one has left already."""
        stack: list[Any] = list(self.app.screen_stack)  # type: ignore[attr-defined]
        if self not in stack:
            return AwaitComplete()
        for above in reversed(stack[stack.index(self) + 1 :]):
            above.dismiss()
        done: AwaitComplete = super().dismiss(result)  # type: ignore[misc]
        return done


class Dialog(Scoped, Once, ModalScreen[T]):
    """A question above a place; Esc leaves it without an answer. `asks`: whatever else changes memories waits for that."""

    asks: ClassVar[bool] = True

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > .box {
        width: 76; max-width: 100%; height: auto; max-height: 100%; border: round $primary; background: $surface; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss_none", "Back")]

    def on_unmount(self) -> None:
        """Let go of what was drawn: a cache of Textual keeps the lines of a thousand widgets that are gone, which are tens
        of MB after some hundred dialogs."""
        StylesCache.get_inner_outer.cache_clear()

    def memory_changed(self, change: Changed) -> None:
        """A memory was written by somebody while the dialog is open."""

    def action_dismiss_none(self) -> None:
        """Leave."""
        self.dismiss(None)
