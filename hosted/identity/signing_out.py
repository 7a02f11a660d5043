"""Signing out everywhere: here at once, and at Supabase, whose sessions could come back with new tokens otherwise."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from hosted.db.engine import Database
from hosted.identity import grants
from hosted.identity.supabase import Supabase


async def everywhere(database: Database, supabase: Supabase, user_id: UUID, access_token: str) -> None:
    """End every session of the user, and refuse each token and code that was given before this returns.

    A token tells the second in which it was given and no more: this ends with the second, so that whoever signs in after it
    is told from who was signed out. Raises SignInRefused or IdentityUnavailable where Supabase did not end them: tokens of
    before are refused then, and a machine that asks Supabase for a new one is let in again.
    """
    try:
        async with database.tenant(user_id) as conn:
            await grants.sign_out(conn, user_id)
        await supabase.sign_out(access_token, "global")
        async with database.tenant(user_id) as conn:  # what a machine was given while Supabase was asked
            await grants.refuse_tokens(conn, user_id)
    finally:
        await asyncio.sleep(1 - time.time() % 1)
