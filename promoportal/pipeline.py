"""Which stage wakes which. To learn the whole flow, read these tables."""

from __future__ import annotations


def connect() -> None:
    """Join the stages."""
