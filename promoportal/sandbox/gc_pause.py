"""
A pause of garbage collection while a million objects are created.

Without the pause, the collections would take longer than the creation.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_MANY = 100_000
_pauses = 0


@contextmanager
def gc_paused(count: int) -> Iterator[None]:
    """Pause garbage collection in the `with` block, if `count` is at least `_MANY`."""
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
            gc.freeze()  # later collections exclude the existing objects
            gc.enable()
