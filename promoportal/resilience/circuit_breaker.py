"""
One breaker for each far side: open while calling it would be of no use.

It opens when a far side refuses us for how we are set up, when it fails again and again,
and when it asks for a rest. While it is open, rows stay where they are: one expired token
must not hold a million, nor an outage wear out the patience each of them has. When the
pause is over, one call at a time may try, until one goes well.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Mapping
from datetime import timedelta

from django.db import models
from django.db.models import F, Q, QuerySet
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Greatest, Least, Now, Power

from promoportal.wire import Misconfigured, WireError

_log = logging.getLogger("promoportal.breakers")

# While our own configuration is wrong; it takes a person to mend that.
PAUSE = timedelta(seconds=60)
# After failures in a row: 2, 4, 8 ... seconds, and at most:
MAX_SECONDS = 30.0
_MAX_DOUBLINGS = 10
# Longer than a call can take; a probe that died holds the next one up no longer.
PROBE = timedelta(seconds=30)


class Side(models.TextChoices):
    VENDOR = "vendor", "Optimove"
    PLATFORM = "platform", "Platform"


# Failures in a row, over all processes, after which it opens. The platform is called by
# many at once, and a part of a chunk fails together.
MAX_FAILURES: Mapping[Side, int] = {Side.VENDOR: 10, Side.PLATFORM: 50}


class BreakerState(enum.Enum):
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
    failures = models.PositiveIntegerField(default=0)  # since a call last went well
    pauses = models.PositiveSmallIntegerField(default=0)  # of these, openings
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


_SHUT = Q(opened_at__isnull=False)


def acquire_permission(side: Side) -> BreakerState:
    """
    Say what may be sent now. Whoever is told PROBE makes one call, and says how it went.
    """
    # The usual case is one indexed read that finds nothing.
    opened = Breaker.objects.filter(_SHUT, side=side)
    if not opened.exists():
        return BreakerState.CLOSED
    over = opened.filter(open_until__lte=Now())
    taken = over.update(open_until=Now() + PROBE, probing=True)
    return BreakerState.PROBE if taken else BreakerState.OPEN


def release_permission(side: Side) -> None:
    """Whoever was told PROBE found nothing to send: another may try at once."""
    probed = Breaker.objects.filter(_SHUT, side=side, probing=True)
    probed.update(open_until=Now(), probing=False)


def is_open(side: Side) -> bool:
    """Whether nothing would be sent now; unlike `gate`, it takes no one's probe."""
    shut = Breaker.objects.filter(_SHUT, side=side)
    return shut.filter(open_until__gt=Now()).exists()


def trip(side: Side, error: WireError) -> None:
    """Open the breaker if this error says that we are set up wrongly."""
    if isinstance(error, Misconfigured):
        _open(_row(side), PAUSE, error, failures=F("failures") + 1)


def record_failures(side: Side, error: WireError, *, count: int = 1) -> None:
    """Count calls that failed, with none between them that went well; too many open it."""
    row = _row(side)
    row.update(failures=F("failures") + count, problem=error.problem)
    too_many = Q(opened_at=None, failures__gte=MAX_FAILURES[side])
    seconds = Least(Power(2.0, F("pauses") + 1), MAX_SECONDS)
    pause = models.ExpressionWrapper(
        seconds * timedelta(seconds=1), output_field=models.DurationField()
    )
    _open(row.filter(too_many | Q(probing=True)), pause, error)


def open_for(side: Side, error: WireError, seconds: float) -> None:
    """Open the breaker for as long as the far side asked for (`Retry-After`)."""
    _open(_row(side), timedelta(seconds=seconds), error)


def record_success(side: Side) -> None:
    """
    A call went well: forget the failures, and close the breaker if that was its probe.

    Of one that is closed and counts none, nothing is written.
    """
    probed = _SHUT & Q(probing=True)
    stumbled_lately = Q(opened_at=None, failures__gt=0)
    rows = Breaker.objects.filter(probed | stumbled_lately, side=side)
    before = rows.first()
    if before is None:
        return
    afresh = {"opened_at": None, "open_until": None, "probing": False}
    closed = rows.update(failures=0, pauses=0, problem="", **afresh)
    if closed and before.opened_at:
        _log.info("breaker.closed", extra={"side": str(side)})


def _row(side: Side) -> QuerySet[Breaker]:
    Breaker.objects.bulk_create([Breaker(side=side)], ignore_conflicts=True)
    return Breaker.objects.filter(side=side)


def _open(
    rows: QuerySet[Breaker],
    pause: timedelta | Combinable,
    error: WireError,
    **changes: Combinable,
) -> None:
    """Open, or keep open: never for less than was said before."""
    opened = rows.update(
        opened_at=Coalesce(F("opened_at"), Now()),
        open_until=models.Case(
            models.When(probing=True, then=Now() + pause),
            default=Greatest(F("open_until"), Now() + pause),
        ),
        probing=False,
        # An outage may last for days: beyond this they grow no more.
        pauses=Least(F("pauses") + 1, _MAX_DOUBLINGS),
        problem=error.problem,
        **changes,
    )
    if opened:
        _log.warning("breaker.opened", extra={"status": error.status})
