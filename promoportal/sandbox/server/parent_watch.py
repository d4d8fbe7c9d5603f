"""Detection of the parent's end, so that the sandbox ends if its parent is killed."""

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
    hint = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, hint.set)
    _ask_for(signal.SIGUSR1)
    while os.getppid() == parent:
        hint.clear()
        try:
            await asyncio.wait_for(hint.wait(), _EVERY)
        except TimeoutError:
            continue


def _ask_for(number: signal.Signals) -> None:
    """
    Request a signal from Linux when the parent exits.

    The signal is only a hint: Linux also sends it when the thread that started this
    process ends.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
