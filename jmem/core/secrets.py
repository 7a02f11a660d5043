"""Recognise secrets in text: keys of known services, private keys, passwords, payment cards.

Precision before reach: a memory refused for nothing is worse than a rare kind of key not known here, so
every rule is anchored on a literal that its secrets carry, and the loose ones (`password = …`) also look
at the value. An IBAN is no secret: it is printed on invoices and people do want to look it up.

A rule runs only when one of its literals is in the text, and is compiled at its first use, so that an
ordinary sentence costs some substring searches. Every repeat is bounded or starts only where a token
starts, so the time is linear in the text (tests/core/test_secrets.py holds it to that).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jmem.core.errors import Invalid, SecretFound
from jmem.core.model import check_field

SECRET_MODES: tuple[str, ...] = ("refuse", "mask", "allow")
MAX_PASSES = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret of one kind at text[start:end]."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Rule:
    """One kind of secret: where to look, the pattern (group `s` is the secret, else all), and a last check."""

    kind: str
    literals: tuple[str, ...]
    pattern: str
    check: Callable[[str], bool] | None = None
    flags: int = 0


# ---- checks of a value ------------------------------------------------------------------------

_PLACEHOLDER = re.compile(
    r"[<\[{(]|\$[\w({]|%[\w(]|\*{3}|x{4,}|X{4,}|\.{3}|…"
    r"|(?i:your|changeme|change_me|placeholder|redacted|insert|dummy|secret:|process\.env|os\.environ|getenv|https?://)"
)
_CODE = re.compile(r"[A-Za-z_]\w{0,60}(?:\.[A-Za-z_]\w{0,60}){1,8}[(\[]?|[A-Za-z_]\w{0,60}[(\[].{0,200}")


def _entropy(value: str) -> float:
    """Shannon entropy in bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def _mixed(value: str) -> bool:
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def _random(value: str) -> bool:
    """Letters and digits without much repetition: a generated token rather than a word."""
    return _mixed(value) and _entropy(value) >= 3.0


def _chosen(value: str) -> bool:
    """What stands behind `password:` is one, and no word, placeholder, date, number or piece of code."""
    if _PLACEHOLDER.search(value) or _CODE.fullmatch(value):
        return False
    return _mixed(value) and _entropy(value) >= 2.5


def _url_password(value: str) -> bool:
    return len(value) > 3 and not (
        _PLACEHOLDER.search(value) or value.lower() in ("password", "pass", "pwd", "pw", "secret", "token")
    )


_BRANDS = re.compile(
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17}"
)


def _card(value: str) -> bool:
    """A number of a card brand's form whose Luhn sum is right."""
    digits = re.sub(r"\D", "", value)
    if not _BRANDS.fullmatch(digits) or len(set(digits)) < 2:
        return False
    doubled = (sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (sum(doubled) + sum(int(d) for d in digits[-1::-2])) % 10 == 0


# ---- rules ------------------------------------------------------------------------------------

_B = r"(?<![A-Za-z0-9_-])"  # where a token starts
_E = r"(?![A-Za-z0-9_-])"  # where one ends

_LABEL = (
    r"(?<![A-Za-z])(?!secret: [a-z_]{3,30}\])(?:[A-Za-z0-9]{1,30}[_-]){0,4}"
    r"(?:pass(?:word|wd|phrase|code)|passwort|kennwort|contraseña|mot de passe|pwd|api[ _-]?(?:key|token|secret)"
    r"|access[ _-]?(?:key|token)|auth[ _-]?(?:key|token)|client[ _-]?secret|secret(?:[ _-]?(?:access[ _-]?)?(?:key|token))?"
    r"|private[ _-]?key|encryption[ _-]?key|signing[ _-]?key|account[ _-]?key|bot[ _-]?token|refresh[ _-]?token"
    r"|session[ _-]?token|token)"
)
_VALUE = (
    r"[\"'`]?(?P<sep>\s{0,3}(?::=?|={1,2}>?)\s{0,3}| {1,3}is {1,3})"
    r"(?:\"(?P<d>[^\"\n]{6,200})\"|'(?P<q>[^'\n]{6,200})'|`(?P<t>[^`\n]{6,200})`|(?P<s>[^\s\"'`,;]{6,200}))"
)
_LABEL_LITERALS = (
    "passw",
    "passphrase",
    "passcode",
    "kennwort",
    "contraseña",
    "mot de passe",
    "pwd",
    "key",
    "secret",
    "token",
)

_RULES: tuple[_Rule, ...] = (
    _Rule("private_key", ("private key",), r""),  # by _private_keys
    _Rule("aws_access_key", ("akia", "asia", "abia", "acca"), r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    _Rule("github_token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), _B + r"(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})" + _E),
    _Rule("gitlab_token", ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-"), _B + r"gl(?:pat|dt|rt|cbt|ptt|ft|soat)-[A-Za-z0-9_.-]{20,300}"),
    _Rule("slack_token", ("xoxa-", "xoxb-", "xoxe", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"), _B + r"(?:xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Za-z0-9]{5,20}-\d{5,20}-[a-z0-9]{20,100})" + _E),
    _Rule("slack_webhook", ("hooks.slack.com",), r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<s>[A-Za-z0-9+/]{30,90})"),
    _Rule("stripe_key", ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"), _B + r"(?:[sr]k_(?:live|test)_[A-Za-z0-9]{10,250}|whsec_[A-Za-z0-9+/=]{20,100})" + _E),
    _Rule("anthropic_key", ("sk-ant-",), _B + r"sk-ant-[A-Za-z0-9_-]{20,250}" + _E),
    _Rule("openai_key", ("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-none-"), _B + r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,250}" + _E),
    _Rule("api_key", ("sk-",), _B + r"sk-(?!ant-|proj-|svcacct-|admin-|None-)[A-Za-z0-9_-]{20,250}" + _E, _random),
    _Rule("google_api_key", ("aiza",), _B + r"AIza[A-Za-z0-9_-]{35}" + _E),
    _Rule("google_oauth", ("ya29.", "gocspx-"), _B + r"(?:ya29\.[A-Za-z0-9_.-]{20,1000}|GOCSPX-[A-Za-z0-9_-]{28})" + _E),
    _Rule("jwt", ("eyj",), r"(?<![A-Za-z0-9_.-])eyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,16000}\.[A-Za-z0-9_-]{10,4000}"),
    _Rule("npm_token", ("npm_",), _B + r"npm_[A-Za-z0-9]{36}" + _E),
    _Rule("pypi_token", ("pypi-ag",), _B + r"pypi-Ag[A-Za-z0-9_-]{30,1000}" + _E),
    _Rule("telegram_token", (":aa",), r"(?<![A-Za-z0-9_-])\d{8,10}:AA[A-Za-z0-9_-]{33}" + _E),
    _Rule("azure_key", ("accountkey=", "sharedaccesskey=", "sig=", "8q~", "7q~"), r"(?:AccountKey|SharedAccessKey)=(?P<s>[A-Za-z0-9+/]{43,86}={1,2})|(?<=[?&]sig=)[A-Za-z0-9%]{40,80}%3[Dd]" + "|" + _B + r"[A-Za-z0-9_.~-]{3}[78]Q~[A-Za-z0-9_.~-]{31,34}" + _E),
    _Rule("huggingface_token", ("hf_",), _B + r"hf_[A-Za-z0-9]{34,40}" + _E, _random),
    _Rule("sendgrid_key", ("sg.",), _B + r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}" + _E),
    _Rule("digitalocean_token", ("_v1_",), _B + r"do[opr]_v1_[a-f0-9]{64}" + _E),
    _Rule("shopify_token", ("shpat_", "shpca_", "shppa_", "shpss_"), _B + r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}" + _E),
    _Rule("supabase_key", ("sb_secret_", "sbp_"), _B + r"(?:sb_secret_[A-Za-z0-9_-]{20,100}|sbp_[a-f0-9]{40})" + _E),
    _Rule("notion_token", ("ntn_", "secret_"), _B + r"(?:ntn_[A-Za-z0-9]{40,60}|secret_[A-Za-z0-9]{43})" + _E, _random),
    _Rule("linear_key", ("lin_api_",), _B + r"lin_api_[A-Za-z0-9]{32,60}" + _E),
    _Rule("groq_key", ("gsk_",), _B + r"gsk_[A-Za-z0-9]{40,60}" + _E),
    _Rule("databricks_token", ("dapi",), _B + r"dapi[a-f0-9]{32}" + _E),
    _Rule("vault_token", ("hvs.", "hvb."), _B + r"hv[sb]\.[A-Za-z0-9_-]{24,300}" + _E),
    _Rule("age_key", ("age-secret-key-",), r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _Rule("discord_webhook", ("/api/webhooks/",), r"discord(?:app)?\.com/api/webhooks/\d{15,22}/(?P<s>[A-Za-z0-9_-]{50,100})"),
    _Rule("mcp_url", ("/mcp/",), r"/mcp/[a-z0-9._-]{1,64}/(?:sse|http)/(?P<s>[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})"),
    _Rule("url_password", ("://",), r"(?<![A-Za-z0-9+.-])[a-z][a-z0-9+.-]{1,30}://[^\s:/@?#\"'<>]{0,100}:(?P<s>[^\s/@\"'<>]{1,200})@[A-Za-z0-9\[_.$-]", _url_password, re.I),
    _Rule("bearer_token", ("bearer ", "basic "), r"(?<![A-Za-z])(?:bearer|authorization[\"']?[ :=]{1,3}[\"']?basic) {1,3}(?P<s>[A-Za-z0-9._~+/-]{16,2000}={0,2})", _random, re.I),
    _Rule("password", _LABEL_LITERALS, _LABEL + _VALUE, None, re.I),  # by _labelled
    _Rule("payment_card", (), r"(?<![\w.,+/#-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5}|\d{15,16})(?![\w/-])(?!\.\d)", _card),
)  # fmt: skip


def _by_mark() -> dict[str, tuple[tuple[str, int], ...]]:
    """The rules' literals by a character they hold that is rare in prose, so that few have to be looked for."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for number, rule in enumerate(_RULES):
        for literal in rule.literals:
            groups.setdefault(next((mark for mark in "_=/:~-. " if mark in literal), ""), []).append((literal, number))
    return {mark: tuple(found) for mark, found in groups.items()}


_LITERALS = _by_mark()
_BY_DIGITS = tuple(n for n, rule in enumerate(_RULES) if not rule.literals)
# Every secret has one of these: a digit, an address, an armour line, a long run without a space.
_DIGIT = re.compile(r"[0-9]")
_LONG = re.compile(r"\S{16}")
_SHORTEST = 10  # "pwd=" and six characters
_PASSWORD_LABEL = re.compile(r"pass|pwd|kennwort|contraseña", re.I)
_DIGITS = re.compile(r"[0-9]{4}[ -]?[0-9]{4}")
_ARMOR = re.compile(r"-----(BEGIN|END) (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")


@cache
def _compiled(rule: _Rule) -> re.Pattern[str]:
    return re.compile(rule.pattern, rule.flags | (0 if rule.kind == "password" else re.ASCII))


def _private_keys(text: str) -> Iterator[Finding]:
    """From each BEGIN line to its END line; one that is cut off reaches to the end of its base64."""
    begin: int | None = None
    body = 0
    for match in _ARMOR.finditer(text):
        if match[1] == "BEGIN":
            if begin is None:
                begin, body = match.start(), match.end()
        elif begin is not None:
            yield Finding("private_key", begin, match.end())
            begin = None
    if begin is not None:
        tail = re.compile(r"[A-Za-z0-9+/=\s]*").match(text, body)
        yield Finding("private_key", begin, len(text[: tail.end()].rstrip()) if tail else body)


def _labelled(pattern: re.Pattern[str], text: str) -> Iterator[Finding]:
    """`password: …`, `API_KEY="…"`; in prose (`… is …`) and below eight characters passwords alone."""
    for match in pattern.finditer(text):
        quoted = match["s"] is None
        group = "s" if not quoted else next(g for g in "dqt" if match[g] is not None)
        value = match[group] if quoted else match[group].rstrip(".,;:!?)]}")
        password = _PASSWORD_LABEL.search(match[0], 0, match.start("sep") - match.start()) is not None
        loose = len(value) < 8 or "is" in match["sep"]
        if len(value) >= 6 and (password or not loose) and _chosen(value):
            yield Finding("password" if password else "api_key", match.start(group), match.start(group) + len(value))


def _matches(rule: _Rule, text: str) -> Iterator[Finding]:
    if rule.kind == "private_key":
        yield from _private_keys(text)
        return
    pattern = _compiled(rule)
    if rule.kind == "password":
        yield from _labelled(pattern, text)
        return
    group: str | int = "s" if "s" in pattern.groupindex else 0
    for match in pattern.finditer(text):
        found = group if match[group] is not None else 0
        if rule.check is None or rule.check(match[found]):
            yield Finding(rule.kind, *match.span(found))


def find(text: str) -> list[Finding]:
    """The secrets in a text, by place; where two overlap, one finding over both with the first one's kind."""
    if len(text) < _SHORTEST or not (_DIGIT.search(text) or "://" in text or "-----" in text or _LONG.search(text)):
        return []
    lower = text.lower()
    wanted = {n for mark, group in _LITERALS.items() if mark in lower for literal, n in group if literal in lower}
    if _DIGITS.search(text) is not None:
        wanted.update(_BY_DIGITS)
    hits = [hit for n in sorted(wanted) for hit in _matches(_RULES[n], text)]
    if len(hits) < 2:
        return hits
    hits.sort(key=lambda f: (f.start, -f.end))  # stable: of two at one place the earlier rule, the more precise one
    merged = [hits[0]]
    for hit in hits[1:]:
        last = merged[-1]
        if hit.start >= last.end:
            merged.append(hit)
        elif hit.end > last.end:
            merged[-1] = Finding(last.kind, last.start, hit.end)
    return merged


def mask(text: str, findings: Sequence[Finding]) -> str:
    """The text with `[secret: kind]` in place of each finding; `findings` as `find` gives them."""
    parts: list[str] = []
    at = 0
    for finding in findings:
        parts += text[at : finding.start], f"[secret: {finding.kind}]"
        at = finding.end
    return "".join(parts) + text[at:]


def masked(text: str) -> tuple[str, list[str]]:
    """The text without its secrets, and their kinds. Repeats, since a secret can hide behind the one before it."""
    kinds: list[str] = []
    for _ in range(MAX_PASSES):
        findings = find(text)
        if not findings:
            break
        kinds += (f.kind for f in findings)
        text = mask(text, findings)
    return text, sorted(set(kinds))


# ---- the fields of a memory -------------------------------------------------------------------

_FIELDS = ("content", "source", "thread", "speaker", "tags", "metadata")
_APART = "\n\n\n\n"


def guard(fields: Mapping[str, Any], mode: str) -> tuple[dict[str, Any], list[str]]:
    """The fields as they may be stored, and the kinds of secrets masked in them.

    Looks at content, source, thread, speaker, tags and the texts in metadata. In mode "refuse" a secret
    raises SecretFound; "mask" replaces it by `[secret: kind]`; "allow" looks at nothing.
    """
    if mode not in SECRET_MODES:
        raise Invalid(f"secrets must be one of {', '.join(SECRET_MODES)}", field="secrets")
    out = dict(fields)
    if mode == "allow":
        return out, []
    texts: list[str] = []
    for name in _FIELDS:
        if name in out:
            _gather(out[name], texts)
    # one look at all of them, too far apart to be read as one; only if it finds something, one at each
    if not find(_APART.join(texts)):
        return out, []
    kinds: set[str] = set()
    for name in _FIELDS:
        if name in out:
            out[name] = _clean(out[name], kinds)
    if kinds and mode == "refuse":
        raise refusal(sorted(kinds))
    return out, sorted(kinds)


def _gather(value: Any, into: list[str]) -> None:
    """Every text in a value, a metadata value behind its key, as `_clean` reads them."""
    if isinstance(value, str):
        into.append(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            into.append(key)
            if isinstance(item, str):
                into.append(f"{key} = {item}")
            else:
                _gather(item, into)
    elif isinstance(value, list | tuple):
        for item in value:
            _gather(item, into)


def screened(fields: Mapping[str, Any], mode: str) -> dict[str, Any]:
    """The fields as they may be stored, masked ones in their stored form again; raises as `guard` does, TooLarge."""
    out, kinds = guard(fields, mode)
    return {name: check_field(name, value) for name, value in out.items()} if kinds else out


def _clean(value: Any, kinds: set[str]) -> Any:
    if isinstance(value, str):
        text, found = masked(value)
        kinds.update(found)
        return text
    if isinstance(value, Mapping):
        return {_clean(k, kinds): _clean_pair(k, v, kinds) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v, kinds) for v in value]
    return value


def _clean_pair(key: Any, value: Any, kinds: set[str]) -> Any:
    """A metadata value, which its key may give away: {"password": "…"}."""
    if isinstance(key, str) and isinstance(value, str):
        labelled = f"{key} = "
        findings = [f for f in find(labelled + value) if f.start >= len(labelled)]
        if findings:
            kinds.update(f.kind for f in findings)
            value = mask(labelled + value, findings)[len(labelled) :]
    return _clean(value, kinds)


def refusal(kinds: Sequence[str]) -> SecretFound:
    """The error that names what was found and the two ways on."""
    names = ", ".join(kind.replace("_", " ") for kind in kinds)
    return SecretFound(
        f"the text carries what looks like a secret ({names}); nothing was stored",
        fix='--mask stores it with the secret masked, --allow-secret stores it as it is (API: "secrets":"mask" or "allow")',
        kinds=list(kinds),
    )
