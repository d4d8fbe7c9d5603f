"""
A circuit breaker for each integration, which pauses calls that would be useless.

The breaker opens if the integration rejects the portal's configuration, fails
repeatedly, or sends `Retry-After` repeatedly. While the breaker is open, rows keep
their state. So an expired token does not set a million rows to `HELD`, and an outage
does not use up their retries. After the pause, one call at a time probes the
integration until it succeeds.
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

# Pause after `Misconfigured`: staff have to correct the portal's configuration.
PAUSE = timedelta(seconds=60)
# Longest pause after failures in a row. The pauses are 2, 4, 8, 16 and then 30 seconds.
MAX_SECONDS = 30.0
_MAX_DOUBLINGS = 10
# Refusals in a row, over all processes, after which `record_refusals` opens a breaker.
MAX_REFUSALS = 3
# Longest first pause after refusals: their cause may be the rows of one customer. Each
# further pause may be `_GROWTH` times as long.
FIRST_PAUSE = timedelta(seconds=10)
_GROWTH = 6.0
# Longer than a call can take. After this time, another probe starts even if no
# outcome of the first one was recorded.
PROBE = timedelta(seconds=30)


class Side(models.TextChoices):
    VENDOR = "vendor", "Optimove"
    PLATFORM = "platform", "Platform"


# Failures in a row, over all processes, after which a breaker opens. The platform has
# the higher limit, because it gets many calls at once, which can fail together.
MAX_FAILURES: Mapping[Side, int] = {Side.VENDOR: 10, Side.PLATFORM: 50}


class BreakerState(enum.Enum):
    """The calls to an integration that are allowed now."""

    CLOSED = "any call"
    PROBE = "one call, whose outcome is recorded"
    OPEN = "no call"


class Breaker(models.Model):
    """The circuit breaker of an integration. Without a row, it is closed."""

    side = models.CharField(max_length=20, primary_key=True, choices=Side)
    opened_at = models.DateTimeField(null=True)  # null: closed
    open_until = models.DateTimeField(null=True)
    probing = models.BooleanField(default=False)
    failures = models.PositiveIntegerField(default=0)  # since the last success
    pauses = models.PositiveSmallIntegerField(default=0)  # since the last success
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


_IS_OPEN = Q(opened_at__isnull=False)


def acquire_permission(side: Side) -> BreakerState:
    """Return which calls are allowed. The caller must record the outcome of a probe."""
    # Usually the breaker is closed, and this is one indexed read that finds no row.
    opened = Breaker.objects.filter(_IS_OPEN, side=side)
    if not opened.exists():
        return BreakerState.CLOSED
    expired = opened.filter(open_until__lte=Now())
    is_probe = expired.update(open_until=Now() + PROBE, probing=True)
    return BreakerState.PROBE if is_probe else BreakerState.OPEN


def release_permission(side: Side) -> None:
    """End a probe without an outcome, so that another probe may start at once."""
    probed = Breaker.objects.filter(_IS_OPEN, side=side, probing=True)
    probed.update(open_until=Now(), probing=False)


def is_half_open(side: Side) -> bool:
    """Return whether the next call is a probe. This function starts no probe."""
    return Breaker.objects.filter(_IS_OPEN, side=side, open_until__lte=Now()).exists()


def is_open(side: Side) -> bool:
    """Return whether no call is allowed now. This function starts no probe."""
    opened = Breaker.objects.filter(_IS_OPEN, side=side)
    return opened.filter(open_until__gt=Now()).exists()


def trip(side: Side, error: WireError) -> None:
    """Open the breaker if the error is `Misconfigured`."""
    if isinstance(error, Misconfigured):
        _open(_row(side), PAUSE, error, failures=F("failures") + 1)


def record_failures(side: Side, error: WireError, *, count: int = 1) -> None:
    """Count failed calls. Open the breaker at `MAX_FAILURES`, or if a probe failed."""
    rows = _row(side)
    rows.update(failures=F("failures") + count, problem=error.problem)
    too_many = Q(opened_at=None, failures__gte=MAX_FAILURES[side])
    seconds = Least(Power(2.0, F("pauses") + 1), MAX_SECONDS)
    _open(rows.filter(too_many | Q(probing=True)), _interval(seconds), error)


def record_refusals(
    side: Side, error: WireError, seconds: float, *, count: int, first_time: bool
) -> None:
    """
    Count calls that were refused for `seconds`; open the breaker at `MAX_REFUSALS`.

    The pause grows with each probe that is refused, from `FIRST_PAUSE` to `seconds`. So
    the rows of one customer cannot stop the other rows for an hour. A row that failed
    before is no new evidence: unless rows were refused for the first time, the pause
    lasts `FIRST_PAUSE` at most.
    """
    rows = _row(side)
    rows.update(failures=F("failures") + count, problem=error.problem)
    pauses = Least(F("pauses"), _MAX_DOUBLINGS) if first_time else 0
    most = FIRST_PAUSE.total_seconds() * Power(_GROWTH, pauses)
    too_many = Q(opened_at=None, failures__gte=MAX_REFUSALS)
    _open(
        rows.filter(too_many | Q(probing=True)), _interval(Least(most, seconds)), error
    )


def record_success(side: Side) -> None:
    """
    Reset the failures of a closed breaker, or close the breaker if a probe runs.

    A closed breaker without failures is not written.
    """
    probed = _IS_OPEN & Q(probing=True)
    failed = Q(opened_at=None, failures__gt=0)
    rows = Breaker.objects.filter(probed | failed, side=side)
    before = rows.first()
    if before is None:
        return
    reset = {"opened_at": None, "open_until": None, "probing": False}
    closed = rows.update(failures=0, pauses=0, problem="", **reset)
    if closed and before.opened_at:
        _log.info("breaker.closed", extra={"side": str(side)})


def _interval(seconds: Combinable) -> Combinable:
    return models.ExpressionWrapper(
        seconds * timedelta(seconds=1), output_field=models.DurationField()
    )


def _row(side: Side) -> QuerySet[Breaker]:
    Breaker.objects.bulk_create([Breaker(side=side)], ignore_conflicts=True)
    return Breaker.objects.filter(side=side)


def _open(
    rows: QuerySet[Breaker],
    pause: timedelta | Combinable,
    error: WireError,
    **changes: Combinable,
) -> None:
    """Open the breaker, or extend its pause. A failed probe starts a new pause."""
    opened = rows.update(
        opened_at=Coalesce(F("opened_at"), Now()),
        open_until=models.Case(
            models.When(probing=True, then=Now() + pause),
            default=Greatest(F("open_until"), Now() + pause),
        ),
        probing=False,
        # Limited, because `Power()` would overflow in an outage of days.
        pauses=Least(F("pauses") + 1, _MAX_DOUBLINGS),
        problem=error.problem,
        **changes,
    )
    if opened:
        _log.warning("breaker.opened", extra={"status": error.status})
