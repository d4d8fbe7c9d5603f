"""
The request to stop this process: once it is set, no new work starts.

The request is one byte that a cluster shares with its workers. It has no lock, because
a process that is killed could keep the lock.
"""

from __future__ import annotations

from ctypes import c_bool
from multiprocessing.sharedctypes import RawValue

_is_requested = RawValue(c_bool, False)


def announce() -> None:
    """Set the request in this process and in all processes forked from it."""
    _is_requested.value = True


def is_requested() -> bool:
    return bool(_is_requested.value)
