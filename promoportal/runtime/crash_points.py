"""
Places at which a process may be told to die, so that a test sees what the next one does.

`PORTAL_CRASH_AT` names one; only tests and storms set it. Without DEBUG the portal does
not start with it (E011), and whatever skips the checks does not heed it. docs/guarantees.md tells of each what is on disk then.
"""

from __future__ import annotations

import enum
import os
import signal

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

VARIABLE = "PORTAL_CRASH_AT"


class Point(enum.StrEnum):
    """Where, between taking work and concluding it."""

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
    The place that is named, if any.

    :raises ImproperlyConfigured: if there is no such place
    """
    name = os.environ.get(VARIABLE)
    if name and name not in set(Point):
        msg = f"{VARIABLE} is {name!r}; it must be one of {', '.join(Point)}."
        raise ImproperlyConfigured(msg)
    return Point(name) if name else None


# Read once: it is asked for with every call.
_CHOSEN = chosen() if settings.DEBUG else None


def at(point: Point) -> None:
    """Die here, if told to, as if killed from outside: nothing is cleaned up."""
    if point is _CHOSEN:
        os.kill(os.getpid(), signal.SIGKILL)
