"""A clock for durations, and the machine to which its readings belong."""

from __future__ import annotations

import functools
import time
import uuid
from pathlib import Path
from typing import NamedTuple


class Machine(NamedTuple):
    """A machine and a reading of its clock. Compare only readings with one `name`."""

    name: str
    clock: float


def clock() -> float:
    """Return the time of a clock, if possible one that runs while the system sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def machine() -> Machine:
    """Return this machine and its clock now. Containers share their host's machine."""
    return Machine(_name(), clock())


@functools.cache
def _name() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # A time namespace has a clock of its own.
        return f"{boot} {Path('/proc/self/ns/time').readlink()}"
    except OSError:  # not Linux: a network address of the machine
        return f"{uuid.getnode():x}"
