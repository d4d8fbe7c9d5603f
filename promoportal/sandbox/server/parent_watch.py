"""Ending with one's parent: a process that was killed must leave no orphan behind."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys

_EVERY = 0.5
_PR_SET_PDEATHSIG = 1


async def gone(parent: int) -> None:
    """Wait until this process is no longer the child of `parent`."""
    hurry = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, hurry.set)
    _ask_for(signal.SIGUSR1)
    while os.getppid() == parent:
        hurry.clear()
        try:
            await asyncio.wait_for(hurry.wait(), _EVERY)
        except TimeoutError:
            continue


def _ask_for(number: signal.Signals) -> None:
    """
    Let Linux send a signal when the parent dies; elsewhere, looking is all there is.

    Only a hint: it also comes when the parent's thread that started us ends.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
