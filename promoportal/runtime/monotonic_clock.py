"""
Clocks for durations, and the machine to which their readings belong.

The schedule explorer replaces both clocks with its own, which is possible only with
DEBUG.
"""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_driver: Callable[[], float] | None = None


class Machine(NamedTuple):
    """A machine and a reading of its clock. Compare only readings with one `name`."""

    name: str
    clock: float


def clock() -> float:
    """Return the time of a clock, if possible one that runs while the system sleeps."""
    if _driver:
        return _driver()
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def awake() -> float:
    """Return the time of a clock that may stop while the system sleeps."""
    return _driver() if _driver else time.monotonic()


def drive(driver: Callable[[], float] | None) -> None:
    """
    Read both clocks from `driver`; None: from the system again.

    :raises ImproperlyConfigured: without DEBUG
    """
    global _driver  # noqa: PLW0603 - one for the process, as its clock is
    if driver and not settings.DEBUG:
        raise ImproperlyConfigured("Clocks are driven only with DEBUG=true.")
    _driver = driver


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
