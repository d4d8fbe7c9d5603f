"""
Whether this process was asked to end: whoever works then begins nothing more.

One byte that a cluster shares with its workers. It has no lock, so that nobody who is
killed can take one along.
"""

from __future__ import annotations

from ctypes import c_bool
from multiprocessing.sharedctypes import RawValue

_is_near = RawValue(c_bool, False)


def announce() -> None:
    """Tell all that were forked from here."""
    _is_near.value = True


def is_requested() -> bool:
    return bool(_is_near.value)
