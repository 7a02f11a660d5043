"""Memories in and out: JSONL with history (loss-free) and Markdown with front matter.

`split`, `jsonl` and `markdown` are pure; `exporting` and `importing` know the local store.
"""
