"""What Supabase says no to, in plain words."""

from __future__ import annotations

from hosted.identity.supabase import SignInRefused

_WORDS = {
    "invalid_credentials": "The address and the password do not fit together.",
    "email_exists": "There is an account with this address already. Sign in instead.",
    "user_already_exists": "There is an account with this address already. Sign in instead.",
    "email_address_invalid": "This does not look like an address that mail can reach.",
    "validation_failed": "This does not look like an address that mail can reach.",
    "otp_expired": "This code or link is used up, too old, or mistyped. Ask for a new one.",
    "otp_disabled": "There is no account with this address.",
    "same_password": "The new password has to differ from the old one.",
    "signup_disabled": "New accounts can't be made at the moment.",
    "over_email_send_rate_limit": "A mail was sent a moment ago. Wait a minute before you ask for another.",
    "over_request_rate_limit": "Too many tries in a short time. Wait a minute and try again.",
    "bad_code_verifier": "This link was made for another browser. Ask for a new one here.",
    "flow_state_not_found": "This link is used up or too old. Ask for a new one.",
    "flow_state_expired": "This link is too old. Ask for a new one.",
    "user_banned": "This account is closed. Write to support if you think that is wrong.",
}


def refusal(refused: SignInRefused) -> str:
    """One sentence; what has no sentence of its own is told as Supabase says it."""
    if refused.reason == "weak_password":
        return f"This password is too easy to guess. {refused.message.rstrip('.')}."
    if refused.reason in _WORDS:
        return _WORDS[refused.reason]
    if "email" in refused.message.lower() and refused.status in (400, 422):
        return _WORDS["email_address_invalid"]
    return refused.message.rstrip(".") + "."
