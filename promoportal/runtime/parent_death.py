"""
The exit of a process with its parent, so that no job outlives a killed cluster.

On Linux, a process can ask to be killed when its parent exits (PR_SET_PDEATHSIG). Linux
watches the parent's *thread*, so the portal starts children in main threads only. On
other systems, a thread checks twice a second whether the parent still runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

# The variable that names the parent's pid to a process that was started, not forked.
_PARENT = "PORTAL_PARENT_PID"

_PR_SET_PDEATHSIG = 1
_POLL_EVERY = 0.5  # seconds; every child must exit within two seconds

# Loaded before any fork: loading a library in a forked child may deadlock.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_forking_pid: list[int] = []


def environment() -> dict[str, str]:
    """Return the variables by which a child's `exit_with_parent` gets this pid."""
    return {_PARENT: str(os.getpid())}


def exit_with_parent() -> None:
    """
    Make this process exit with its parent, and later forks exit with this process.

    The parent must have started this process with `environment()`; otherwise, only the
    forks are affected. Call this once, early, in the main thread.
    """
    if parent := os.environ.pop(_PARENT, None):
        _exit_with(int(parent))
    if not _forking_pid:
        _forking_pid.append(os.getpid())
        os.register_at_fork(before=_remember_parent, after_in_child=_tie_fork)


def poll_parent(parent: int) -> None:
    """Start a thread that ends this process after its parent exits, on any system."""
    threading.Thread(target=_poll, args=(parent,), daemon=True).start()


def _remember_parent() -> None:
    _forking_pid[:] = [os.getpid()]


def _tie_fork() -> None:
    _exit_with(_forking_pid[0])


def _exit_with(parent: int) -> None:
    if _libc is None or _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        poll_parent(parent)
    # The parent may have exited before this request.
    if os.getppid() != parent:
        _exit()


def _poll(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_EVERY)
    _exit()


def _exit() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
