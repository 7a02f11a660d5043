"""Every action of the interface, declared once: keys, key bar, palette, help and the user's key map follow from it.

An id is `scope.method`: the screen or widget of that scope has a method `action_<method>`. The scope `app` holds
everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual.binding import Binding, Keymap
from textual.keys import REPLACED_KEYS, key_to_character


@dataclass(frozen=True, slots=True)
class Action:
    """What a person can do. `keys`: alternatives with commas; `rank`: place in the key bar, 0 for none."""

    id: str
    keys: str
    title: str
    help: str
    rank: int = 0
    call: str = ""
    """what runs it, where that is not the method of its name"""

    @property
    def scope(self) -> str:
        """Where it holds."""
        return self.id.partition(".")[0]

    @property
    def method(self) -> str:
        """The `action_` method without its prefix, with its arguments if it takes any."""
        return self.call or self.id.partition(".")[2]

    def binding(self) -> Binding:
        """As Textual takes it; the user's key map is applied by the id."""
        return Binding(self.keys, self.method, self.title, show=self.rank > 0, tooltip=self.help, id=self.id)


SCOPES: Mapping[str, str] = {
    "app": "Everywhere",
    "question": "The question",
    "memories": "Memories",
    "facets": "Filters",
    "reader": "One memory, whole",
    "editor": "Writing a memory",
    "tags": "Tags of memories",
    "history": "History",
    "explain": "Why it was found",
    "duplicates": "Duplicates",
    "merging": "One memory of both",
    "conflicts": "Texts written apart",
    "activity": "Activity",
    "programs": "Programs, in Activity",
    "review": "Review",
    "status": "Status",
    "settings": "Settings",
}
"""scope -> heading in the help"""

ACTIONS: tuple[Action, ...] = (
    Action("app.memories", "1", "Memories", "Search and tend your memories", call="tab(\'memories\')"),
    Action("app.activity", "2", "Activity", "See what each program asks, gets and may do", call="tab(\'activity\')"),
    Action("app.review", "3", "Review", "Look at what programs under review wrote", call="tab(\'review\')"),
    Action("app.duplicates", "4", "Duplicates", "Look at memories that say nearly the same, side by side", call="tab(\'duplicates\')"),
    Action("app.status", "5", "Status", "See how the daemon, the index and sync are", call="tab(\'status\')"),
    Action("app.settings", "6", "Settings", "Choose theme, keys and the daemon's settings", call="tab(\'settings\')"),
    Action("app.conflicts", "C", "Conflicts", "Look at texts of one memory that were written apart, side by side"),
    Action("app.undo", "u", "Undo", "Take back the last change", 60),
    Action("app.redo", "ctrl+r,U", "Redo", "Do again what was taken back last"),
    Action("app.help", "question_mark,f1", "Help", "Show every key of this place", 90),
    Action("app.palette", "ctrl+p", "Commands", "Find any action by its name", 80),
    Action("app.refresh", "f5", "Refresh", "Ask the daemon again"),
    Action("app.leave", "q,ctrl+q,ctrl+c", "Quit", "Leave the interface", 85),
    Action("question.results", "enter", "To the list", "Go to the results", 1),
    Action("question.down", "down", "Next", "The next result, without leaving the question", 2, call="move(1)"),
    Action("question.up", "up", "Previous", "The result before", call="move(-1)"),
    Action("question.page_down", "pagedown", "Page down", "A screen of results further", call="page(1)"),
    Action("question.page_up", "pageup", "Page up", "A screen of results back", call="page(-1)"),
    Action("memories.search", "slash,ctrl+f", "Search", "Type to search; Esc clears, ↓ goes to the results", 10),
    Action("memories.open", "enter", "Open", "Show the whole memory", 11),
    Action("memories.add", "a,ctrl+n", "Add", "Write a new memory", 12),
    Action("memories.edit", "e", "Edit", "Change the memory here", 13),
    Action("memories.edit_outside", "E", "Edit in $EDITOR", "Change the memory in your own editor"),
    Action("memories.tag", "t", "Tag", "Add and remove tags, of all marked ones at once", 14),
    Action("memories.archive", "x", "Archive", "Archive: kept, not found unless asked for; again to bring it back", 16),
    Action("memories.pause", "p", "Pause", "Hide it from every program for now; again to bring it back"),
    Action("memories.delete", "d,delete", "Delete", "Delete; undo brings it back", 15),
    Action("memories.purge", "ctrl+d", "Forget", "Forget for ever, everywhere: this can't be undone"),
    Action("memories.restore", "r", "Restore", "Bring a deleted memory back"),
    Action("memories.mark", "space", "Mark", "Mark the memory, for changes of several at once", 18),
    Action("memories.mark_all", "asterisk", "Mark all", "Mark every memory that the list shows, or none"),
    Action("memories.history", "h", "History", "Its versions, with what changed; bring one back", 20),
    Action("memories.explain", "w", "Why", "Why it was found, and which programs got it", 21),
    Action("memories.similar", "m", "Similar", "Memories that say nearly the same, side by side"),
    Action("memories.copy", "y", "Copy", "Copy the text to the clipboard"),
    Action("memories.copy_id", "Y", "Copy the id", "Copy the id to the clipboard, to name the memory elsewhere"),
    Action("memories.facets", "f", "Filter", "Go to the filters: tags, clients, state, time", 22),
    Action("memories.sort", "o", "Sort", "Sort by added, changed or happened; again for the next"),
    Action("memories.as_of", "v", "As of", "Show the list as it stood at a moment of the past; Esc goes back to now"),
    Action("memories.clear", "escape", "Clear", "Clear marks, then filters, then the search"),
    Action("reader.find", "slash,ctrl+f", "Find", "Look for something in the text", 10),
    Action("reader.next", "n", "Next", "To the next match", 11),
    Action("reader.previous", "N", "Before", "To the match before"),
    Action("reader.edit", "e", "Edit", "Change the memory", 12),
    Action("reader.copy", "y", "Copy", "Copy the text to the clipboard", 13),
    Action("reader.copy_id", "Y", "Copy the id", "Copy the id to the clipboard"),
    Action("reader.leave", "escape,q", "Back", "Leave the search, then the memory", 14),
    Action("reader.tag", "t", "Tag", "Add and remove tags", 15),
    Action("reader.delete", "d,delete", "Delete", "Delete; undo brings it back", 16),
    Action("reader.archive", "x", "Archive", "Archive: kept, not found unless asked for; again to bring it back", 17),
    Action("reader.history", "h", "History", "Its versions, with what changed; bring one back", 18),
    Action("reader.explain", "w", "Why", "Why it was found, and which programs got it", 19),
    Action("editor.save", "ctrl+s", "Save", "Hand it to the daemon", 10),
    Action("editor.outside", "ctrl+o", "In $EDITOR", "Go on writing in your own editor", 11),
    Action("editor.leave", "escape", "Back", "Leave; asks when something is not saved", 12),
    Action("tags.switch", "enter", "On/off", "Put the tag on, or take it off; of several memories: on all, off all, as it was. Space does too while nothing is typed, and +new -old puts and takes several", 10),
    Action("tags.save", "ctrl+s", "Save", "Change the tags", 11),
    Action("tags.leave", "escape", "Back", "Leave the tags as they were", 12),
    Action("tags.down", "down", "Next", "The next tag, without leaving the line", call="move(1)"),
    Action("tags.up", "up", "Before", "The tag before", call="move(-1)"),
    Action("history.restore", "enter", "Bring back", "Bring this version back; undo takes that back", 10),
    Action("history.compare", "c", "Against now", "How it differs from what the memory says now; again for what it changed", 11),
    Action("history.whole", "v", "As it was", "Show all of it as it was; again for what it changed", 12),
    Action("history.chain", "s", "Chain", "What it superseded, and what superseded it", 13),
    Action("history.leave", "escape", "Back", "Back to the list", 14),
    Action("explain.own", "o", "Own too", "Show also what this interface read, or not", 10),
    Action("explain.leave", "escape", "Back", "Back to the list", 14),
    Action("duplicates.keep_left", "l", "Keep left", "Keep the left one with the tags of both; the right one is deleted", 10),
    Action("duplicates.keep_right", "r", "Keep right", "Keep the right one with the tags of both; the left one is deleted", 11),
    Action("duplicates.merge", "enter,b", "One of both", "Write one text from both", 12),
    Action("duplicates.distinct", "n,x", "Not the same", "Keep both, and don't show them as a pair any more", 13),
    Action("duplicates.undo", "u", "Undo", "Take back the last step", 60),
    Action("duplicates.leave", "escape", "Back", "Back to where one was"),
    Action("merging.save", "ctrl+s", "Save", "Make one memory of both", 10),
    Action("merging.leave", "escape", "Back", "Leave; asks when something is not saved", 12),
    Action("conflicts.keep_left", "l", "Keep left", "Keep the text that is live; the other one stays in the history", 10),
    Action("conflicts.keep_right", "r", "Keep right", "Keep the other text; the one that was live stays in the history", 11),
    Action("conflicts.both", "b", "Keep both", "Make a memory of its own from each other text", 12),
    Action("conflicts.write", "enter,e", "One of both", "Write one text from both", 13),
    Action("conflicts.leave", "escape", "Back", "Back to where one was", 14),
    Action("activity.open", "enter", "Answers", "Show what was answered, and why", 10),
    Action("activity.pause", "space", "Pause", "Hold the stream still; again to go on", 11),
    Action("activity.filter", "f", "Only this", "Show only what the program of this line asks; again for all", 12),
    Action("activity.own", "o", "Own too", "Show also what this interface asks, or not"),
    Action("activity.programs", "p", "Programs", "Go to the programs and what each may do, and back", 13),
    Action("activity.connect", "c", "Connect", "Connect a program", 30),
    Action("activity.clear", "escape", "Clear", "Show all programs again, go back to the stream"),
    Action("programs.choose", "enter", "Only this", "Show only what this program asks; again for all", 9),
    Action("programs.read", "r", "Read", "Let it search and list, or not", 1),
    Action("programs.write", "w", "Write", "Let it add, or not", 2),
    Action("programs.delete", "d", "Delete", "Let it delete, or not", 3),
    Action("programs.review", "v", "Review", "Let what it writes wait for your review, or not", 4),
    Action("programs.tags", "t", "Tags", "Let it see only memories with certain tags", 5),
    Action("programs.cap", "h", "Per hour", "Cap how many changes it may make within an hour", 8),
    Action("programs.take_back", "b", "Take back", "Undo everything it wrote since a moment, as one step", 6),
    Action("programs.disconnect", "x", "Disconnect", "Make its key worthless", 7),
    Action("review.open", "enter", "Open", "Show the whole memory", 9),
    Action("review.approve", "y", "Approve", "Let programs find it", 10),
    Action("review.reject", "n,d,delete", "Reject", "Delete it; undo brings it back to wait", 11),
    Action("review.edit", "e", "Edit, approve", "Change it, then let programs find it", 12),
    Action("review.mark", "space", "Mark", "Mark it, to decide on several at once", 13),
    Action("review.mark_all", "asterisk", "Mark all", "Mark all that wait, or none"),
    Action("review.filter", "f", "Only this program", "Show only what the program of this line wrote; again for all", 14),
    Action("review.approve_program", "Y", "Approve all of it", "Approve all that this program wrote", 15),
    Action("review.reject_program", "N", "Reject all of it", "Reject all that this program wrote", 16),
    Action("review.clear", "escape", "Clear", "Clear the marks, then the filter"),
    Action("status.start_stop", "s", "Start/stop", "Start the daemon, or stop it", 10),
    Action("status.restart", "r", "Restart", "Restart the daemon", 11),
    Action("status.backup", "b", "Back up", "Make a backup now", 12),
    Action("status.restore", "enter", "Restore", "Put a backup in the place of the store", 13),
    Action("status.rebuild", "i", "Rebuild index", "Build the index anew", 14),
    Action("status.log", "l", "Log", "Go to the log, and back", 15),
    Action("settings.change", "enter", "Change", "Choose the theme, set keys, edit the value", 10),
    Action("settings.section", "right", "Next part", "Theme, keys, daemon", 11, call="part(1)"),
    Action("settings.section_back", "left", "Part before", "Daemon, keys, theme", call="part(-1)"),
    Action("settings.add_key", "a", "Another key", "Give an action one more key", 12),
    Action("settings.reset", "r,delete", "Reset", "Back to what it is by default", 13),
    Action("settings.restart", "R", "Restart", "Restart the daemon, so that it takes changed settings in", 14),
)  # fmt: skip
"""Actions by scope, in the order of the help."""

BY_ID: Mapping[str, Action] = {action.id: action for action in ACTIONS}


def of(scope: str) -> list[Action]:
    """The actions of a scope, in the order of the help."""
    return [action for action in ACTIONS if action.scope == scope]


def bindings(scope: str) -> list[Binding]:
    """The BINDINGS of the screen, widget or app of a scope."""
    return [action.binding() for action in of(scope)]


def keys_of(action: Action, keymap: Keymap) -> list[str]:
    """The keys that run an action, the user's instead of ours where there are any."""
    return [key.strip() for key in keymap.get(action.id, action.keys).split(",") if key.strip()]


def prints(key: str) -> bool:
    """Whether a key puts a character into a text that is being written."""
    character = key_to_character(REPLACED_KEYS.get(key, key))
    return character is not None and character.isprintable()
