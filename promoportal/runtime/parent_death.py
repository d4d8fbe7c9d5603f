"""
Nothing outlives its parent: a killed cluster leaves no orphan that goes on taking jobs.

Linux kills a process when its parent dies, if asked to (PR_SET_PDEATHSIG). What it
watches is the parent's *thread*, so that children must be made by a main thread, as
ours are. Elsewhere a thread looks for the parent twice a second.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

# Whose death a process that was started, not forked, shall not outlive.
_PARENT = "PORTAL_PARENT_PID"

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY = 0.5  # seconds; all must be gone within two

# Loaded before any fork: loading a library in a forked child may deadlock.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_forking: list[int] = []


def environment() -> dict[str, str]:
    """What a child's environment needs so that its `tie` ties it to this process."""
    return {_PARENT: str(os.getpid())}


def exit_with_parent() -> None:
    """
    End with the parent that started us so, and let our forks end with us.

    To be called once, early, by the main thread.
    """
    if parent := os.environ.pop(_PARENT, None):
        _end_with(int(parent))
    if not _forking:
        _forking.append(os.getpid())
        os.register_at_fork(before=_remember_parent, after_in_child=_tie_fork)


def look_after(parent: int) -> None:
    """End with the parent where the system does not see to it: look, again and again."""
    threading.Thread(target=_look, args=(parent,), daemon=True).start()


def _remember_parent() -> None:
    _forking[:] = [os.getpid()]


def _tie_fork() -> None:
    _end_with(_forking[0])


def _end_with(parent: int) -> None:
    if _libc is None or _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        look_after(parent)
    # It may have died before we asked.
    if os.getppid() != parent:
        _end()


def _look(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
