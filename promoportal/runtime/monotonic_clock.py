"""The clock for durations within this process, and the machine that has it."""

from __future__ import annotations

import functools
import time
import uuid
from pathlib import Path
from typing import NamedTuple


class Machine(NamedTuple):
    """A machine and the reading of its clock: readings of one name are comparable."""

    name: str
    clock: float


def clock() -> float:
    """Return seconds that also pass while the machine sleeps, where it can tell."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def machine() -> Machine:
    """Return this machine, now; containers on one kernel are one machine."""
    return Machine(_name(), clock())


@functools.cache
def _name() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # A time namespace has a clock of its own.
        return f"{boot} {Path('/proc/self/ns/time').readlink()}"
    except OSError:  # not Linux: a network address of the machine
        return f"{uuid.getnode():x}"
