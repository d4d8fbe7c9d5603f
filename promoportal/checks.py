"""Configuration that must not start, each mistake with a sentence and an id."""

from __future__ import annotations


def register() -> None:
    """Make Django ask."""
