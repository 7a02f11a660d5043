"""How memories look: one line each in lists, wrapped with their particulars in search results, a card for one."""

from __future__ import annotations

import time

from jmem.cli.text import age, block, cut, end_time, epoch, local_time, one_line, pad, short_ids, width, wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from jmem.cli.output import Output

    Document = dict[str, Any]

AGE_COLUMNS = 4
GAP = "  "
SEARCH_LINES = 6
"""Lines of text shown of one search result."""


def plain_row(out: Output, memory: Document, *more: object) -> None:
    """id, content, tags, created_at (and more): the columns of every list in a pipe."""
    out.row(memory["id"], memory["content"], ",".join(memory["tags"]), memory["created_at"], *more)


SHOWN = 5
"""How many ids of one action are named."""


def some_ids(ids: Sequence[str], count: int) -> str:
    """The ids with commas; of more than a few only how many."""
    return ",".join(ids) if count <= SHOWN else f"{count} memories"


def table(out: Output, memories: Sequence[Document], sort: str = "") -> None:
    """One line a memory: short id, text, tags, age of what it is sorted by, else of when it happened."""
    if not out.human:
        for memory in memories:
            plain_row(out, memory)
        return
    short = short_ids(memory["id"] for memory in memories)
    id_columns = max((len(s) for s in short.values()), default=6)
    columns = out.columns
    tags = [_tags(memory) for memory in memories]
    tag_columns = min(max(map(width, tags), default=0), columns // 4)
    text_columns = max(
        columns - id_columns - AGE_COLUMNS - 2 * len(GAP) - (tag_columns + len(GAP) if tag_columns else 0), 8
    )
    for memory, tag in zip(memories, tags, strict=True):
        text = cut(_headline(memory), text_columns)
        cells = [out.paint("id", pad(short[memory["id"]], id_columns)), _faded(out, memory, pad(text, text_columns))]
        if tag_columns:
            shown = cut(tag, tag_columns)
            cells.append(out.paint("tag", shown) + " " * (tag_columns - width(shown)))
        cells.append(out.paint("dim", age(memory.get(f"{sort}_at") or _moment(memory)).rjust(AGE_COLUMNS)))
        out.line(GAP.join(cells))


def results(out: Output, hits: Sequence[Document], query: str, *, score: bool = False) -> None:
    """Search results: the text wrapped, the words of the question marked, particulars below it."""
    short = short_ids(id for hit in hits for id in (hit["id"], *hit.get("also", ())))
    columns = out.columns
    id_columns = max((len(short[hit["id"]]) for hit in hits), default=6)
    indent = " " * (id_columns + len(GAP))
    text_columns = max(min(columns, 120) - len(indent) - len(GAP) - AGE_COLUMNS, 16)
    words = question_words(query)
    for hit in hits:
        lines = wrap(_spoken(hit, block(hit["content"]).rstrip()), text_columns, SEARCH_LINES)
        for number, line in enumerate(lines):
            shown = _marked(out, line, words)
            if number:
                out.line(indent + shown)
                continue
            start = out.paint("id", pad(short[hit["id"]], id_columns))
            when = out.paint("dim", age(_moment(hit)).rjust(AGE_COLUMNS))
            out.line(start + GAP + shown + " " * (text_columns - width(line)) + GAP + when)
        particulars = _particulars(out, hit, short, score)
        if particulars:
            out.line(indent + particulars)
        if hit.get("explain"):
            for line in explain_lines(hit["explain"]):
                out.line(indent + out.paint("dim", cut(line, columns - len(indent))))


def card(out: Output, memory: Document) -> None:
    """One memory in full."""
    columns = min(out.columns, 100)
    for line in wrap(block(memory["content"]).rstrip("\n"), columns):
        out.line(_faded(out, memory, line) if memory.get("deleted") else out.paint("bold", line))
    out.line()
    for name, value in card_fields(memory):
        style = "tag" if name == "tags" else "id" if name == "id" else ""
        first, *more = wrap(value, max(columns - 12, 20))
        out.line(out.paint("dim", f"{name:<12}") + (out.paint(style, first) if style else first))
        for line in more:
            out.line(" " * 12 + line)


def standing(memory: Document, current: str | None) -> str:
    """What a member of a chain is by now: deleted, current or superseded."""
    return "deleted" if memory["deleted"] else "current" if memory["id"] == current else "superseded"


def chain(out: Output, found: Document) -> None:
    """The members of a chain, oldest first, a line or more each, the one that holds marked."""
    members = found["chain"]
    short = short_ids(memory["id"] for memory in members)
    id_columns = max(len(s) for s in short.values())
    indent = " " * (2 + id_columns + len(GAP))
    text_columns = max(min(out.columns, 120) - len(indent) - len(GAP) - AGE_COLUMNS, 16)
    for memory in members:
        stands = standing(memory, found["current"])
        mark = out.paint("good", "●") if stands == "current" else out.paint("dim", "○")
        first, *more = wrap(_spoken(memory, block(memory["content"]).rstrip()), text_columns, SEARCH_LINES)
        style = "bold" if stands == "current" else "dim"
        when = out.paint("dim", age(_moment(memory)).rjust(AGE_COLUMNS))
        gap = " " * (text_columns - width(first)) + GAP
        out.line(
            f"{mark} {out.paint('id', pad(short[memory['id']], id_columns))}{GAP}{out.paint(style, first)}{gap}{when}"
        )
        for line in more:
            out.line(indent + out.paint(style, line))
        about = [stands] if stands != "superseded" else []
        if memory.get("supersedes") in short:
            about.append("supersedes " + short[memory["supersedes"]])
        if about:
            out.line(indent + out.paint("dim", " · ".join(about)))


def card_fields(memory: Document) -> list[tuple[str, str]]:
    """Name and value of what a card shows below the text."""
    found = [("id", memory["id"])]
    if memory["tags"]:
        found.append(("tags", one_line(_tags(memory))))
    state = "deleted" if memory.get("deleted") else memory["state"]
    if state != "active":
        found.append(("state", state))
    if memory["privacy"] == "local":
        found.append(("privacy", "local (never leaves this machine)"))
    found += [(name, one_line(memory[name])) for name in ("speaker", "thread", "source") if memory.get(name)]
    found.append(("client", one_line(memory["client"] or "-")))
    for name in ("occurred", "expires", "created", "updated"):
        moment = memory.get(f"{name}_at")
        if moment and not (name == "updated" and epoch(moment) - epoch(memory["created_at"]) < 1):
            when = end_time(moment) if name == "expires" else local_time(moment)
            found.append((name, f"{when} ({ago(moment)})"))
    if memory.get("supersedes"):
        found.append(("supersedes", memory["supersedes"]))
    if memory.get("superseded_by"):
        found.append(("superseded", "by " + memory["superseded_by"]))
    for key, value in memory["metadata"].items():
        found.append((one_line(key)[:11], one_line(value if isinstance(value, str) else _json(value))))
    return found


def ago(moment: str) -> str:
    """`3d ago`, `in 2d`, `now`."""
    short = age(moment)
    return short if short == "now" or short.startswith("in ") else short + " ago"


_REFUSED = {"under_review": "under review", "rate_limited": "too many within an hour"}


def said_of(access: Mapping[str, Any]) -> str:
    """What became of a request where it was not simply answered: refused and why, or that it waits for review."""
    if code := access.get("refused"):
        return f"refused: {_REFUSED.get(code, 'not permitted')}"
    return "for review" if access.get("review") else ""


def explain_lines(explain: Document) -> Iterable[str]:
    """What each leg of the search said of a hit, a line a leg."""
    for name, value in explain.items():
        if isinstance(value, dict):
            yield f"{name}: " + ", ".join(f"{k} {_figure(v)}" for k, v in value.items() if v is not None)
        elif value not in (None, []):
            yield f"{name}: {_figure(value)}"


def explain_cells(explain: Document) -> list[object]:
    """Rank and score by words, rank and score by meaning: columns in a pipe, empty where a leg did not find it."""
    return [(explain.get(leg) or {}).get(name) for leg in ("text", "vector") for name in ("rank", "score")]


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return one_line(" ".join(map(str, value)) if isinstance(value, list) else str(value))


def _json(value: Any) -> str:
    from jmem.wire import dumps

    return dumps(value)


def _tags(memory: Document) -> str:
    return one_line(" ".join("#" + tag for tag in memory["tags"]))


def _moment(memory: Document) -> str:
    return str(memory.get("occurred_at") or memory["created_at"])


def _spoken(memory: Document, text: str) -> str:
    return f"{one_line(memory['speaker'])}: {text}" if memory.get("speaker") else text


def _headline(memory: Document) -> str:
    """The text on one line, runs of white space as one space."""
    return one_line(" ".join(_spoken(memory, memory["content"]).split()))


def _faded(out: Output, memory: Document, text: str) -> str:
    return out.paint("dim", text) if memory.get("deleted") or memory["state"] != "active" else text


def _particulars(out: Output, hit: Document, short: dict[str, str], score: bool) -> str:
    parts = []
    if score:
        parts.append(f"{hit['score']:.2f}")
    if hit["tags"]:
        parts.append(out.paint("tag", _tags(hit)) + (out.paint("dim", "") if out.color else ""))
    if hit["state"] != "active":
        parts.append(hit["state"])
    if hit["privacy"] == "local":
        parts.append("local")
    if hit.get("client") not in ("", "cli", None):
        parts.append("from " + one_line(hit["client"]))
    if hit.get("source"):
        parts.append(one_line(hit["source"]))
    if hit.get("thread"):
        parts.append("in " + one_line(hit["thread"]))
    if hit.get("expires_at"):
        lapsed = epoch(hit["expires_at"]) <= time.time()
        parts.append(f"expired {ago(hit['expires_at'])}" if lapsed else f"expires {ago(hit['expires_at'])}")
    if hit.get("superseded_by"):
        parts.append("superseded by " + hit["superseded_by"][-6:])
    if hit.get("also"):
        parts.append("also " + " ".join(short[id] for id in hit["also"]))
    dot = out.paint("dim", " · ")
    return dot.join(part if "\x1b" in part else out.paint("dim", part) for part in parts)


_COMMON = frozenset((
    "about", "been", "does", "from", "have", "into", "that", "their", "them", "then",
    "there", "these", "this", "what", "when", "where", "which", "with", "your",
))  # fmt: skip
"""Words that a question has whatever it is about."""


def question_words(query: str) -> list[str]:
    """The words of a question worth marking, without a plural's s."""
    words = "".join(c if c.isalnum() else " " for c in query.lower()).split()
    return [word.removesuffix("s") for word in words if len(word) > 2 and word not in _COMMON]


def _marked(out: Output, line: str, words: list[str]) -> str:
    """`line` with the words that begin like one of the question's in bold."""
    if not out.color or not words:
        return line
    shown = []
    place = 0
    while place < len(line):
        end = place + 1
        if line[place].isalnum():
            while end < len(line) and line[end].isalnum():
                end += 1
        piece = line[place:end]
        found = len(piece) > 1 and any(piece.lower().startswith(word) for word in words)
        shown.append(out.paint("bold", piece) if found else piece)
        place = end
    return "".join(shown)


def plain_value(value: Any) -> str:
    """A field's value in a pipe: text as it is, everything else as JSON, nothing for null."""
    return "" if value is None else value if isinstance(value, str) else _json(value)
