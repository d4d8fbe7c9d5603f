"""
One breaker for each far side: open while our own configuration is what is wrong.

One expired token must not hold a million rows: while the breaker is open they stay
where they are. When the pause is over, one call at a time may try.
"""

from __future__ import annotations

import enum
import logging
from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from promoportal.wire import Misconfigured, WireError

_log = logging.getLogger("promoportal.breakers")

PAUSE = timedelta(seconds=60)
# Longer than a call can take; a probe that died holds the next one up no longer.
PROBE = timedelta(seconds=30)


class Side(models.TextChoices):
    VENDOR = "vendor", "Optimove"
    PLATFORM = "platform", "Platform"


class Gate(enum.Enum):
    """What may be sent to a far side now."""

    CLOSED = "anything"
    PROBE = "one call, by whoever was told so"
    OPEN = "nothing"


class Breaker(models.Model):
    """What keeps us from calling a far side. No row: nothing ever did."""

    side = models.CharField(max_length=20, primary_key=True, choices=Side)
    opened_at = models.DateTimeField(null=True)  # null: closed
    open_until = models.DateTimeField(null=True)
    probing = models.BooleanField(default=False)
    failures = models.PositiveIntegerField(default=0)
    problem = models.TextField(default="", blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(side__in=Side.values), name="breaker_side_is_known"
            ),
            models.CheckConstraint(
                condition=Q(opened_at__isnull=True) | Q(open_until__isnull=False),
                name="breaker_open_has_an_end",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_side_display()}: {'open' if self.opened_at else 'closed'}"


def gate(side: Side) -> Gate:
    """
    Say what may be sent now. Whoever is told PROBE makes one call, and says how it went.
    """
    # The usual case is one indexed read that finds nothing.
    opened = Breaker.objects.filter(side=side, opened_at__isnull=False)
    if not opened.exists():
        return Gate.CLOSED
    over = opened.filter(open_until__lte=Now())
    taken = over.update(open_until=Now() + PROBE, probing=True)
    return Gate.PROBE if taken else Gate.OPEN


def is_open(side: Side) -> bool:
    """Whether nothing may be sent. False may be the one call that tries: see `gate`."""
    return gate(side) is Gate.OPEN


def rests(side: Side) -> bool:
    """Whether nothing would be sent now; unlike `gate`, it takes no one's probe."""
    shut = Breaker.objects.filter(side=side, opened_at__isnull=False)
    return shut.filter(open_until__gt=Now()).exists()


def trip(side: Side, error: WireError) -> None:
    """Open the breaker if this error says that we are set up wrongly."""
    if not isinstance(error, Misconfigured):
        return
    Breaker.objects.bulk_create([Breaker(side=side)], ignore_conflicts=True)
    Breaker.objects.filter(side=side).update(
        opened_at=Coalesce(F("opened_at"), Now()),
        open_until=Now() + PAUSE,
        probing=False,
        failures=F("failures") + 1,
        problem=error.problem,
    )
    _log.warning("breaker.opened", extra={"side": str(side), "status": error.status})


def passed(side: Side) -> None:
    """Close the breaker after a probe that went well; of a closed one, write nothing."""
    probed = Breaker.objects.filter(side=side, opened_at__isnull=False, probing=True)
    closed = probed.update(
        opened_at=None, open_until=None, probing=False, failures=0, problem=""
    )
    if closed:
        _log.info("breaker.closed", extra={"side": str(side)})
