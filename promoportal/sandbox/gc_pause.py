"""To look for garbage among a million rows takes longer than to make them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_MANY = 100_000
_at_it = 0


@contextmanager
def many_that_stay(count: int) -> Iterator[None]:
    """Look for no garbage while so many things are made that stay."""
    global _at_it  # noqa: PLW0603 - there is one collector for all of us
    if count < _MANY:
        yield
        return
    _at_it += 1
    gc.disable()
    try:
        yield
    finally:
        _at_it -= 1
        if not _at_it:
            gc.freeze()
            gc.enable()
