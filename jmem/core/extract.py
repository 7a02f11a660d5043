"""Extraction: a passage as atomic memories, by an OpenAI-compatible model, reconciled with what is known.

Optional, and off until both `llm.base_url` and `llm.model` are set. It runs before the write, once. Whatever
the model does (fail, dawdle, talk nonsense), the text is not lost: it is then stored as it was given, with
`{"infer": "failed", "infer_reason": …}` in its metadata. A local memory never reaches a model on another
machine unless `allow_remote_for_local` says so.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jmem.core.addresses import is_loopback
from jmem.core.drafts import Added, Draft
from jmem.core.errors import JmemError
from jmem.core.model import Memory, check_content, parse_time
from jmem.core.secrets import find
from jmem.core.settings import Settings

if TYPE_CHECKING:
    from openai import OpenAI

TIMEOUT = 30.0
"""Seconds for the whole exchange with the model, repeats included."""
NO_ROOM = "there is no room left for its facts within the hour"
NOT_STORED = "a fact could not be stored"
NO_MODEL = "no model is set: jmem config set llm.model NAME"
MAX_KNOWN = 8
MAX_FACTS = 50
MAX_FACT_CHARS = 4_000
MAX_QUERY_CHARS = 1_000
MAX_ANSWER_CHARS = 400_000

_INSTRUCTIONS = """\
You turn a passage into memories for a personal memory store.
- Each memory is one fact that is useful later, complete in itself: resolve pronouns and relative dates \
("tomorrow" is counted from `said_at`), name people, keep numbers, names and wording exact, keep the passage's language.
- Leave out greetings and small talk. Invent nothing.
- `known` lists what is stored already. If a fact is there already, put its number into `already_known` and do not \
repeat it. If a new fact corrects or replaces one, put that number into `replaces`, else null.
- `when` is the ISO 8601 date or time at which the fact happened, null if the passage does not say.
Answer with JSON only."""

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["memories", "already_known"],
    "properties": {
        "memories": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["text", "replaces", "when"],
                "properties": {
                    "text": {"type": "string"},
                    "replaces": {"type": ["integer", "null"]},
                    "when": {"type": ["string", "null"]},
                },
            },
        },
        "already_known": {"type": "array", "items": {"type": "integer"}},
    },
}


class ExtractionFailed(Exception):
    """The model gave nothing that can be stored; the message says why and holds no text of a memory."""


@dataclass(frozen=True, slots=True)
class Fact:
    """An atomic memory; `replaces` is the known memory that it supersedes."""

    content: str
    replaces: Memory | None = None
    occurred_at: str | None = None


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a passage says that is new, and the known memories that say the rest already."""

    facts: tuple[Fact, ...]
    known: tuple[Memory, ...] = ()


@dataclass(frozen=True, slots=True)
class Remembered:
    """What came of an add with `infer`: stored memories (or equal ones), known ones, ids superseded.

    `inferred` is false when the text was stored as it was given; `reason` says why.
    """

    added: list[Added]
    known: list[Memory] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)
    inferred: bool = False
    reason: str | None = None

    @property
    def memories(self) -> list[tuple[Memory, bool]]:
        """(memory, whether it was there already)."""
        return [(a.memory, a.duplicate) for a in self.added] + [(memory, True) for memory in self.known]


# ---- the model --------------------------------------------------------------------------------


class Extractor:
    """An OpenAI-compatible chat model. Importing and making it costs nothing; the client is loaded at first use."""

    def __init__(
        self, base_url: str, model: str, api_key: str = "", *, allow_remote_for_local: bool = False,
        timeout: float = TIMEOUT,
    ) -> None:  # fmt: skip
        self.base_url, self.model, self.timeout = base_url, model, timeout
        self.remote = not is_loopback(base_url)
        self.allow_remote_for_local = allow_remote_for_local
        self._api_key = api_key
        self._plain = False
        """the server refused a JSON schema once"""

    def may_see(self, privacy: str) -> bool:
        """Whether a text of this privacy may be sent to the model."""
        return privacy != "local" or not self.remote or self.allow_remote_for_local

    def extract(self, text: str, known: Sequence[Memory], *, said_at: str, speaker: str | None = None) -> Extraction:
        """The facts of a passage; raises ExtractionFailed after `timeout` seconds at the latest."""
        passage = {
            "said_at": said_at, "speaker": speaker, "passage": text,
            "known": [{"number": n, "text": memory.content} for n, memory in enumerate(known, 1)],
        }  # fmt: skip
        return parse_answer(self._bounded(json.dumps(passage, ensure_ascii=False)), text, known)

    def _bounded(self, question: str) -> str:
        """Ask in a thread of its own: the client's time-outs are for each read, and a server can drip."""
        from openai import DefaultHttpxClient, OpenAI

        # no proxies and no redirects: a text for this machine's model stays on this machine
        http = DefaultHttpxClient(trust_env=self.remote, follow_redirects=False)
        client = OpenAI(base_url=self.base_url, api_key=self._api_key or "none", timeout=self.timeout, max_retries=1,
                        http_client=http)  # fmt: skip
        outcome: list[str | ExtractionFailed] = []

        def run() -> None:
            try:
                outcome.append(self._ask(client, question))
            except ExtractionFailed as error:
                outcome.append(error)

        worker = threading.Thread(target=run, name="jmem-extract", daemon=True)
        worker.start()
        worker.join(self.timeout)
        client.close()
        if not outcome:
            raise ExtractionFailed(f"the model gave no answer within {self.timeout:g} s")
        if isinstance(outcome[0], ExtractionFailed):
            raise outcome[0]
        return outcome[0]

    def _ask(self, client: OpenAI, question: str) -> str:
        import openai

        try:
            return self._complete(client, question, schema=not self._plain)
        except openai.APIStatusError as error:
            if self._plain or error.status_code not in (400, 404, 415, 422):
                raise ExtractionFailed(f"the model's server answered {error.status_code}") from error
        except (openai.OpenAIError, RuntimeError, ValueError) as error:
            raise ExtractionFailed(f"the model could not be asked: {type(error).__name__}") from error
        try:
            answer = self._complete(client, question, schema=False)
        except openai.APIStatusError as error:
            raise ExtractionFailed(f"the model's server answered {error.status_code}") from error
        except (openai.OpenAIError, RuntimeError, ValueError) as error:
            raise ExtractionFailed(f"the model could not be asked: {type(error).__name__}") from error
        self._plain = True
        return answer

    def _complete(self, client: OpenAI, question: str, *, schema: bool) -> str:
        system = _INSTRUCTIONS if schema else f"{_INSTRUCTIONS}\nThe JSON has this schema: {json.dumps(_SCHEMA)}"
        form: Any = {"type": "json_schema", "json_schema": {"name": "memories", "strict": True, "schema": _SCHEMA}}
        messages: Any = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        answer = (
            client.chat.completions.create(model=self.model, messages=messages, temperature=0, response_format=form)
            if schema
            else client.chat.completions.create(model=self.model, messages=messages, temperature=0)
        )
        try:  # the client hands on whatever the server sent
            content = answer.choices[0].message.content
        except (AttributeError, IndexError, KeyError, TypeError):
            content = None
        if not isinstance(content, str):
            raise ExtractionFailed("the model's server gave no answer of the expected form")
        return content


def make_extractor(settings: Settings) -> Extractor | None:
    """The extractor that the settings describe; None while it is off."""
    if not settings["llm.base_url"] or not settings["llm.model"]:
        return None
    return Extractor(settings["llm.base_url"], settings["llm.model"], settings["llm.api_key"],
                     allow_remote_for_local=settings["allow_remote_for_local"])  # fmt: skip


# ---- its answer -------------------------------------------------------------------------------


def parse_answer(answer: str, passage: str, known: Sequence[Memory]) -> Extraction:
    """Check a model's answer against the schema and the passage; raises ExtractionFailed."""
    body = _json_object(answer)
    rows, numbers = body.get("memories"), body.get("already_known", [])
    if not isinstance(rows, list) or not isinstance(numbers, list) or len(rows) > MAX_FACTS:
        raise ExtractionFailed("the model's answer is not of the expected form")
    facts = tuple(_fact(row, known) for row in rows)
    for fact in facts:
        if not _about(fact.content, passage):
            raise ExtractionFailed("the model's answer has nothing to do with the text")
    left = {memory.id: memory for number in numbers if (memory := _numbered(number, known)) is not None}
    if not facts and not left:
        raise ExtractionFailed("the model found nothing to remember")
    return Extraction(facts, tuple(left.values()))


def _json_object(answer: str) -> dict[str, Any]:
    """The object in an answer, also when there is a fence or talk around it."""
    text = answer[:MAX_ANSWER_CHARS]
    start, end = text.find("{"), text.rfind("}")
    try:
        body = json.loads(text[start : end + 1]) if 0 <= start < end else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise ExtractionFailed("the model's answer is not JSON")
    return body


def _fact(row: Any, known: Sequence[Memory]) -> Fact:
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_FACT_CHARS:
        raise ExtractionFailed("the model's answer is not of the expected form")
    try:
        content = check_content(text.strip())
    except JmemError as error:
        raise ExtractionFailed(f"the model's answer can't be stored: {error.message}") from error
    when: str | None = None
    if isinstance(row.get("when"), str):
        try:
            when = parse_time(row["when"])
        except JmemError:
            when = None  # a date in words: the content says it anyway
    return Fact(content, _numbered(row.get("replaces"), known), when)


def _numbered(number: Any, known: Sequence[Memory]) -> Memory | None:
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= len(known):
        return known[number - 1]
    return None


def _about(fact: str, passage: str) -> bool:
    """Whether a fact shares a longer word, a number or (where words are not spaced) two characters with the passage."""
    theirs = _marks(passage)
    return not theirs or not theirs.isdisjoint(_marks(fact))


def _marks(text: str) -> set[str]:
    marks: set[str] = set()
    for word in re.findall(r"\w+", text.casefold()):
        if not word.isascii():
            marks.update(word[n : n + 2] for n in range(max(1, len(word) - 1)))
        elif len(word) > 3 or word.isdigit():
            marks.add(word[:5])
    return marks


# ---- what becomes of it -----------------------------------------------------------------------


def passage_of(draft: Draft, fields: Mapping[str, Any]) -> Draft:
    """The draft of a passage whose fields were checked: what carried a secret has been dealt with."""
    names = ("content", "metadata", "source", "thread", "speaker")
    held = {name: fields[name] for name in names if name in fields}
    return replace(draft, **held, tags=tuple(fields.get("tags", ())), secrets="allow")


def held_back(extractor: Extractor, draft: Draft) -> str | None:
    """Why the model must not be asked about a passage; None when it may."""
    if not extractor.may_see(draft.privacy):
        return "a local memory is not sent to a model on another machine"
    if extractor.remote and find(draft.content):
        return "a text with a secret is not sent to another machine"
    return None


def to_show(extractor: Extractor, known: Iterable[Memory]) -> list[Memory]:
    """The known memories that the model may be shown."""
    return [memory for memory in known if not (extractor.remote and find(memory.content))]


def marked(draft: Draft, mark: str, reason: str) -> Draft:
    """The passage as it was given, with a note of why: `mark` is "failed" or "skipped"."""
    return replace(draft, metadata={**draft.metadata, "infer": mark, "infer_reason": reason})


def drafts_of(draft: Draft, extraction: Extraction) -> list[Draft]:
    """A draft for each fact of a passage."""
    return [
        replace(draft, content=fact.content, occurred_at=fact.occurred_at or draft.occurred_at,
                supersedes=fact.replaces.id if fact.replaces else draft.supersedes)
        for fact in extraction.facts
    ]  # fmt: skip


def unlinked(drafts: Sequence[Draft], results: Sequence[Added | JmemError]) -> list[Draft]:
    """Those that failed, without what they replace: it is gone meanwhile, and nothing of a passage may be missing for it."""
    return [replace(d, supersedes=None) for d, r in zip(drafts, results, strict=True) if isinstance(r, JmemError)]


def remembered(results: Sequence[Added | JmemError], extraction: Extraction) -> Remembered:
    """What came of it, where every fact was stored."""
    added = [result for result in results if isinstance(result, Added)]
    superseded = [a.memory.supersedes for a in added if not a.duplicate and a.memory.supersedes is not None]
    return Remembered(added, list(extraction.known), list(dict.fromkeys(superseded)), inferred=True)
