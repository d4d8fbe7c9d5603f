"""
The request to stop this process: once it is set, no new work starts.

One byte that a cluster shares with its workers, without a lock that a killed process
could keep.
"""

from __future__ import annotations

from ctypes import c_bool
from multiprocessing.sharedctypes import RawValue

_is_requested = RawValue(c_bool, False)


def announce() -> None:
    """Set the request in this process and in all that were forked from it."""
    _is_requested.value = True


def is_requested() -> bool:
    return bool(_is_requested.value)
