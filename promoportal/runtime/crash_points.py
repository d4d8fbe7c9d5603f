"""
Points at which a process can be made to crash, so that tests see the recovery.

`PORTAL_CRASH_AT` names one; only tests set it. Without DEBUG the portal does not start
with it (E011), and a process that skips the checks ignores it. docs/guarantees.md lists
what is on disk at each point.
"""

from __future__ import annotations

import enum
import os
import signal

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

VARIABLE = "PORTAL_CRASH_AT"


class Point(enum.StrEnum):
    """Points between claiming work and concluding it."""

    READING_TAKEN = "reading.taken"
    READING_FOLLOWED = "reading.followed"
    COLLECTING_TAKEN = "collecting.taken"
    COLLECTING_ANSWERED = "collecting.answered"
    COLLECTING_SAVED = "collecting.saved"
    ASKING_ANSWERED = "asking.answered"
    ACTIVATING_CLAIMED = "activating.claimed"
    ACTIVATING_ANSWERED = "activating.answered"
    ACTIVATING_CONCLUDED = "activating.concluded"
    SETTLING_TAKEN = "settling.taken"
    SETTLING_ANSWERED = "settling.answered"
    REPORTING_CLAIMED = "reporting.claimed"
    REPORTING_ANSWERED = "reporting.answered"
    REPORTING_CONCLUDED = "reporting.concluded"


def chosen() -> Point | None:
    """
    Return the point that is set, or None.

    :raises ImproperlyConfigured: if there is no such point
    """
    name = os.environ.get(VARIABLE)
    if name and name not in set(Point):
        msg = f"{VARIABLE} is {name!r}. Use one of: {', '.join(Point)}."
        raise ImproperlyConfigured(msg)
    return Point(name) if name else None


# Read once: `at` is called for every call.
_CHOSEN = chosen() if settings.DEBUG else None


def at(point: Point) -> None:
    """Kill this process if this point is set: like a kill from outside, no cleanup."""
    if point is _CHOSEN:
        os.kill(os.getpid(), signal.SIGKILL)
