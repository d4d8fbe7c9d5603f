"""
Points at which tests make a process crash, to check the recovery.

`PORTAL_CRASH_AT` names the point, and only tests set it. If it is set without DEBUG,
the portal does not start (E011). A process that skips the checks then ignores it. The
states in the database at each point are in docs/guarantees.md.

The schedule explorer observes all points instead, also only with DEBUG.
"""

from __future__ import annotations

import enum
import os
import signal
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

VARIABLE = "PORTAL_CRASH_AT"


class Point(enum.StrEnum):
    """Points from the claim of work until its result is saved."""

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
    Return the point that the variable names, or None if it is not set.

    :raises ImproperlyConfigured: if the variable names an unknown point
    """
    name = os.environ.get(VARIABLE)
    if name and name not in set(Point):
        msg = f"{VARIABLE} is {name!r}. Use one of: {', '.join(Point)}."
        raise ImproperlyConfigured(msg)
    return Point(name) if name else None


# Read once, because `at` runs several times for every claim.
_CHOSEN = chosen() if settings.DEBUG else None
_observer: Callable[[Point], None] | None = None


def at(point: Point) -> None:
    """Kill this process, without any cleanup, if this is the chosen point."""
    if point is _CHOSEN:
        os.kill(os.getpid(), signal.SIGKILL)
    if _observer:
        _observer(point)


def observe(observer: Callable[[Point], None] | None) -> None:
    """
    Call `observer` at each point that this process reaches; None ends this.

    :raises ImproperlyConfigured: without DEBUG
    """
    global _observer  # noqa: PLW0603 - one for the process, as its crash point is
    if observer and not settings.DEBUG:
        raise ImproperlyConfigured("Crash points are observed only with DEBUG=true.")
    _observer = observer
