"""A pause of garbage collection, which takes longer than creating a million rows."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_MANY = 100_000
_pauses = 0


@contextmanager
def gc_paused(count: int) -> Iterator[None]:
    """Pause garbage collection while `count` long-lived objects are created."""
    global _pauses  # noqa: PLW0603 - a process has one collector
    if count < _MANY:
        yield
        return
    _pauses += 1
    gc.disable()
    try:
        yield
    finally:
        _pauses -= 1
        if not _pauses:
            gc.freeze()
            gc.enable()
