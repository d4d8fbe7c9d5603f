"""
Exit with the parent process, so that a killed cluster leaves no orphan with jobs.

Linux kills a process when its parent exits, if asked to (PR_SET_PDEATHSIG). It watches
the parent's *thread*, so children must be started by a main thread, as the portal's
are. On other systems a thread checks for the parent twice a second.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

# The process with which one that was started, not forked, must exit.
_PARENT = "PORTAL_PARENT_PID"

_PR_SET_PDEATHSIG = 1
_POLL_EVERY = 0.5  # seconds; all must have exited within two

# Loaded before any fork: loading a library in a forked child may deadlock.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_forking_pid: list[int] = []


def environment() -> dict[str, str]:
    """Return the variables by which a child's `exit_with_parent` knows this process."""
    return {_PARENT: str(os.getpid())}


def exit_with_parent() -> None:
    """
    Exit with the parent that started this process so, and make forks exit with it.

    Call this once, early, in the main thread.
    """
    if parent := os.environ.pop(_PARENT, None):
        _exit_with(int(parent))
    if not _forking_pid:
        _forking_pid.append(os.getpid())
        os.register_at_fork(before=_remember_parent, after_in_child=_tie_fork)


def poll_parent(parent: int) -> None:
    """Exit with the parent where the system does not arrange it: check repeatedly."""
    threading.Thread(target=_poll, args=(parent,), daemon=True).start()


def _remember_parent() -> None:
    _forking_pid[:] = [os.getpid()]


def _tie_fork() -> None:
    _exit_with(_forking_pid[0])


def _exit_with(parent: int) -> None:
    if _libc is None or _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        poll_parent(parent)
    # The parent may have exited before.
    if os.getppid() != parent:
        _exit()


def _poll(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_EVERY)
    _exit()


def _exit() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
