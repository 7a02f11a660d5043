"""What is said on the next page about what was just done. The cookie names the saying and numbers, never a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Tone = Literal["good", "bad"]
_SAYINGS: Mapping[str, tuple[Tone, str, str]] = {
    "added": ("good", "Remembered.", "{n} memories are remembered."),
    "duplicate": ("good", "You had told me that already; it is the same memory.", ""),
    "edited": ("good", "Saved.", "{n} memories are changed."),
    "unchanged": ("good", "Nothing to change.", ""),
    "deleted": ("good", "Deleted.", "{n} memories are deleted."),
    "restored": ("good", "Brought back.", "{n} memories are brought back."),
    "purged": ("good", "Forgotten for ever.", "{n} memories are forgotten for ever."),
    "archived": ("good", "Archived.", "{n} memories are archived."),
    "paused": ("good", "Paused: no program finds it until you resume it.", "{n} memories are paused."),
    "resumed": ("good", "Active again.", "{n} memories are active again."),
    "tagged": ("good", "Tags saved.", "The tags of {n} memories are changed."),
    "undone": ("good", "Taken back.", "{n} changes are taken back."),
    "redone": ("good", "Done again.", "{n} changes are done again."),
    "nothing_undone": ("bad", "There was nothing left to take back.", ""),
    "some_left": ("bad", "Taken back in part: what was changed again since is left as it is.", ""),
    "no_tag": ("bad", "Write a tag into the field beside the button, then press it.", ""),
    "none_marked": ("bad", "Nothing was marked.", ""),
    "approved": ("good", "Accepted.", "{n} memories are accepted."),
    "settled": ("good", "Settled, on every machine.", "Settled: {n} memories now."),
    "changed_meanwhile": ("bad", "It was changed meanwhile. Nothing is done yet: look at the texts again.", ""),
    "settled_meanwhile": ("bad", "It was settled elsewhere meanwhile. What you wrote is not saved yet.", ""),
    "rejected": ("good", "Rejected.", "{n} memories are rejected."),
    "device_revoked": ("good", "That machine is shut out. What is on it stays there.", ""),
    "signed_out": ("good", "You are signed out.", ""),
    "signed_out_unheard": (
        "good",
        "You are signed out. The sign-in service could not be told: your session stays there, and nobody has the key to it.",
        "",
    ),
    "signed_out_everywhere": ("good", "You are signed out, in every browser and program that used your session.", ""),
    "signed_out_in_part": (
        "bad",
        "You are signed out here. The sign-in service could not be told to end your other sessions:"
        " sign in again, and sign out everywhere once more.",
        "",
    ),
    "session_over": ("bad", "You were signed out. Sign in again to go on.", ""),
    "password_changed": ("good", "The password is changed. Other browsers are signed out.", ""),
    "name_saved": ("good", "The name is saved.", ""),
    "email_asked": ("good", "We have written to the new address. It counts once you follow the link in that mail.", ""),
    "email_changed": ("good", "The address is changed.", ""),
    "connection_changed": ("good", "Saved. It counts from the program's next request on.", ""),
    "disconnected": ("good", "Disconnected. Its next request is refused.", ""),
    "key_revoked": ("good", "The key is revoked. Its next use is refused.", ""),
}


@dataclass(frozen=True, slots=True)
class Flash:
    """One saying. `action` and `at`: the change that one may take back from there."""

    key: str
    n: int = 1
    action: int = 0
    at: str = ""

    @property
    def tone(self) -> Tone:
        """How it looks."""
        return _SAYINGS[self.key][0]

    @property
    def text(self) -> str:
        """What it says."""
        _, one, many = _SAYINGS[self.key]
        return many.format(n=f"{self.n:,}") if self.n != 1 and many else one

    def dict(self) -> dict[str, Any]:
        """As the cookie holds it."""
        return {"k": self.key, "n": self.n, "a": self.action, "t": self.at}

    @staticmethod
    def of(found: Mapping[str, Any]) -> Flash | None:
        """From a cookie, which anybody may have written; None for what is no saying of ours."""
        key, n, action, at = found.get("k"), found.get("n"), found.get("a"), found.get("t")
        if not isinstance(key, str) or key not in _SAYINGS or type(n) is not int or type(action) is not int:
            return None
        if not isinstance(at, str) or len(at) > 40 or not 0 <= n < 10**6 or not 0 <= action < 2**53:
            return None
        return Flash(key, n, action, at)
