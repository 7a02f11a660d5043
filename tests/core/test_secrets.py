"""Secrets: every kind is found, ordinary text is not, and hostile text costs linear time."""

from __future__ import annotations

import random
import string
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmem.core.errors import SecretFound
from jmem.core.secrets import find, guard, mask, masked

_random = random.Random(7)


def _token(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """A made-up token that has a letter and a digit whatever chance gives."""
    return "a1" + "".join(_random.choice(alphabet) for _ in range(length - 2))


_UPPER = string.ascii_uppercase + "234567"
_HEX = "0123456789abcdef"
SAMPLES = [
    ("aws_access_key", "AKIA" + "".join(_random.choice(_UPPER) for _ in range(16))),
    ("github_token", "ghp_" + _token(36)),
    ("github_token", "github_pat_" + _token(82)),
    ("gitlab_token", "glpat-" + _token(20)),
    ("slack_token", "xoxb-123456789012-123456789012-" + _token(24)),
    ("slack_token", "xapp-1-A01234ABCDE-1234567890123-" + _token(64, _HEX)),
    ("stripe_key", "sk_live_" + _token(24)),
    ("stripe_key", "rk_test_" + _token(24)),
    ("anthropic_key", "sk-ant-api03-" + _token(93)),
    ("openai_key", "sk-proj-" + _token(60)),
    ("api_key", "sk-" + _token(48)),
    ("google_api_key", "AIza" + _token(35)),
    ("google_oauth", "ya29." + _token(60)),
    ("jwt", f"eyJ{_token(33)}.eyJ{_token(40)}.{_token(43)}"),
    ("npm_token", "npm_" + _token(36)),
    ("pypi_token", "pypi-AgEIcHlwaS5vcmc" + _token(80)),
    ("telegram_token", "123456789:AA" + _token(33)),
    ("huggingface_token", "hf_" + _token(34)),
    ("sendgrid_key", f"SG.{_token(22)}.{_token(43)}"),
    ("digitalocean_token", "dop_v1_" + _token(64, _HEX)),
    ("shopify_token", "shpat_" + _token(32, _HEX)),
    ("supabase_key", "sb_secret_" + _token(31)),
    ("notion_token", "ntn_" + _token(46)),
    ("linear_key", "lin_api_" + _token(40)),
    ("groq_key", "gsk_" + _token(52)),
    ("databricks_token", "dapi" + _token(32, _HEX)),
    ("vault_token", "hvs." + _token(90)),
    ("age_key", "AGE-SECRET-KEY-1" + _token(58).upper()),
    ("payment_card", "4111 1111 1111 1111"),
    ("payment_card", "5555-5555-5555-4444"),
    ("payment_card", "378282246310005"),
    ("payment_card", "3782 822463 10005"),
]


@pytest.mark.parametrize(("kind", "secret"), SAMPLES, ids=[f"{k}-{i}" for i, (k, _) in enumerate(SAMPLES)])
@pytest.mark.parametrize("around", ["{}", "my key is {} keep it", "export KEY='{}'\n", "({}),", "key\n{}\n", "x: {}."])
def test_every_kind_is_found_whole_wherever_it_stands(kind: str, secret: str, around: str) -> None:
    text = around.format(secret)
    findings = find(text)
    assert len(findings) == 1
    assert text[findings[0].start : findings[0].end].rstrip(".") == secret
    assert findings[0].kind in (kind, "api_key")
    assert find(mask(text, findings)) == []


@pytest.mark.parametrize(
    ("text", "kind", "secret"),
    [
        ("my wifi password is hunter2 at home", "password", "hunter2"),
        ("Password: Tr0ub4dor&3.", "password", "Tr0ub4dor&3"),
        ('{"password": "correct horse 7 battery"}', "password", "correct horse 7 battery"),
        ("DB_PASSWORD=s3cr3tPassw0rd\n", "password", "s3cr3tPassw0rd"),
        ("Das Passwort ist egal, Passwort: Geheim123!x", "password", "Geheim123!x"),
        ("api_key: 8f14e45fceea167a5a36", "api_key", "8f14e45fceea167a5a36"),
        ("API-KEY = 'k2J9x81mmQ0'", "api_key", "k2J9x81mmQ0"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "api_key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("token: 550e8400-e29b-41d4-a716-446655440000", "api_key", "550e8400-e29b-41d4-a716-446655440000"),
        ("postgres://jane:k33p0ut@db.example.org:5432/app", "url_password", "k33p0ut"),
        ("redis://:topsecret@cache:6379", "url_password", "topsecret"),
        ("curl -H 'Authorization: Bearer 9af3bC7720dEe1f5GH'", "bearer_token", "9af3bC7720dEe1f5GH"),
        ("AccountKey=" + "Ab1/" * 21 + "Aw==;EndpointSuffix=x", "azure_key", "Ab1/" * 21 + "Aw=="),
        ("secret Abc8Q~" + "x1Y_" * 8 + "ab.", "azure_key", "Abc8Q~" + "x1Y_" * 8 + "ab"),
        ("https://hooks.slack.com/services/T00000000/B00000000/abcdefghijkl12345678", "slack_webhook", "T00000000/B00000000/abcdefghijkl12345678"),
        ("http://127.0.0.1:8765/mcp/claude/sse/550e8400-e29b-41d4-a716-446655440000", "mcp_url", "550e8400-e29b-41d4-a716-446655440000"),
    ],
)  # fmt: skip
def test_labelled_secrets_mask_the_value_alone(text: str, kind: str, secret: str) -> None:
    findings = find(text)
    assert [(f.kind, text[f.start : f.end]) for f in findings] == [(kind, secret)]
    assert mask(text, findings) == text.replace(secret, f"[secret: {kind}]")


def test_a_private_key_is_masked_to_its_end_also_when_cut_off() -> None:
    body = "\n".join("MIIEowIBAAKCAQEA" * 4 for _ in range(5))
    whole = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"
    assert masked(f"mine:\n{whole}\nthanks") == ("mine:\n[secret: private_key]\nthanks", ["private_key"])
    assert masked(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n") == ("[secret: private_key]\n", ["private_key"])
    assert find("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN PUBLIC KEY-----\nMIIB") == []


@pytest.mark.parametrize(
    "text",
    [
        "I prefer aisle seats on long flights",
        "My password manager is Bitwarden, and the password is in it",
        "The password is required; password: string, token: null, secret = None",
        "The code is 4821", "the code is now 4822", "Flight LH 1234, seat 12A, booking XKJ4T9",
        "password = getPassword1()", "token = request.headers['x1']", "api_key = os.environ['OPENAI_API_KEY2']",
        "password: ${DB_PASSWORD1}", "password: <your password1>", "password=********", "api_key=xxxxxxxx1",
        "password reset on 2024-05-01", "token: 2024-05-01", "secret santa is on 12/24/2025",
        "postgres://user:password@localhost/db", "https://example.org:8080/a?b=c", "mailto:jane@example.org",
        "commit 0199f3a1c2d47b3e9c1a0123456789abcdef0123 fixed it",
        "0199f3a1-c2d4-7b3e-9c1a-0123456789ab", "stamp 0199f3a1c2d4-0003-a1b2c3d4",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "call me at +49 170 1234567 or (415) 555-2671 or 020 7946 0958", "order 4111-1111, invoice 4111 1111 1111",
        "DE89 3704 0044 0532 0130 00 is my IBAN", "1732306385123456 microseconds", "4111 1111 1111 1112",
        "ISBN 978-3-16-148410-0", "0000 0000 0000 0000", "3.14159265358979323846", "bearer of bad news today",
        "sk-fading-circle-something-else", "task-based-something-with-a-long-name-2024x", "Asia and Eurasia",
        "https://en.wikipedia.org/wiki/Secret_key?token=main", "the API key is in the safe",
        "http://localhost:8765/mcp/claude/sse/jonathan", "passwort vergessen? mot de passe oublié?",
    ],
)  # fmt: skip
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert find(text) == []


def test_ids_and_hashes_are_left_alone() -> None:
    for _ in range(500):
        text = f"see {uuid.UUID(int=_random.getrandbits(128))} at {_random.getrandbits(160):040x} x{_random.getrandbits(64)}"
        assert find(text) == []


_HOSTILE = [
    "-----BEGIN RSA PRIVATE KEY-----", "eyJ", "eyJaaaaaaaaaaaa.", "eyJaaaaaaaaaaaa.eyJaaaaaaaaaaaa.", "a://", "a://b:c",
    "sk-", "password:", 'password = "', "pwd=a1", "a_", "api_key_", "4111 ", "4", "1234-", "bearer ", "token_", "1:aa",
    "?sig=a%3", "secret_", "AKIA", "ya29.", "xoxb-", "/mcp/a/sse/", "hooks.slack.com/services/", "ghp_a", "a-", "token is ",
    "secret key ", "aaaaaaaa_key=x.", "-----BEGIN PRIVATE KEY-----A", "password = '", "a.b.", "key=a(", "basic ",
]  # fmt: skip


@pytest.mark.parametrize("piece", _HOSTILE)
def test_64_kib_of_hostile_text_takes_linear_time(piece: str) -> None:
    wake = " password key secret token:// sk- eyJ 7q~ hf_ akia bearer 4111 1111"
    started = time.perf_counter()
    for ending in ("", "!", "\n"):
        find(piece * (65_536 // len(piece)) + ending + wake)
    assert time.perf_counter() - started < 10  # 0.1 s each on an idle machine, where a quadratic rule takes minutes


def test_a_short_text_costs_little() -> None:
    text = "In 2023 I moved to 12 Baker Street and I prefer aisle seats on long flights, said Caroline"
    find(text)
    best = min(_timed(text) for _ in range(20))
    assert best < 500e-6  # 10 µs on an idle machine


def _timed(text: str) -> float:
    started = time.perf_counter()
    find(text)
    return time.perf_counter() - started


@given(
    st.lists(st.one_of(st.sampled_from([s for _, s in SAMPLES]), st.text(max_size=12)), max_size=8), st.text(max_size=2)
)
def test_masked_text_has_no_secret_left(pieces: list[str], joint: str) -> None:
    text, kinds = masked(joint.join(pieces))
    assert find(text) == []
    assert all(f"[secret: {kind}]" in text for kind in kinds)


@given(st.text())
def test_findings_are_in_order_and_apart(text: str) -> None:
    end = 0
    for finding in find(text + " password=hunter22 " + text):
        assert end <= finding.start < finding.end
        end = finding.end


def test_guard_refuses_masks_and_allows() -> None:
    fields = {
        "content": "password: hunter22", "tags": ["home", "ghp_" + "a1" * 18], "state": "active",
        "metadata": {"note": {"deep": ["AKIA" + "A2" * 8]}, "password": "s3cretzz", "n": 1}, "source": None,
    }  # fmt: skip
    with pytest.raises(SecretFound) as caught:
        guard(fields, "refuse")
    assert caught.value.detail["kinds"] == ["aws_access_key", "github_token", "password"]
    assert "--mask" in (caught.value.fix or "")
    assert "--allow-secret" in (caught.value.fix or "")
    assert "hunter22" not in str(caught.value.problem())
    stored, kinds = guard(fields, "mask")
    assert kinds == ["aws_access_key", "github_token", "password"]
    assert stored == {
        "content": "password: [secret: password]", "tags": ["home", "[secret: github_token]"], "state": "active",
        "metadata": {"note": {"deep": ["[secret: aws_access_key]"]}, "password": "[secret: password]", "n": 1},
        "source": None,
    }  # fmt: skip
    assert guard(fields, "allow") == (fields, [])
