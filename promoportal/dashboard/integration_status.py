"""Admin pages of the circuit breakers, and of Optimove's rate limit."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString

from promoportal.admin.alerts import Alert
from promoportal.admin.formatting import since, stamp
from promoportal.admin.list_columns import computed, when
from promoportal.admin.model_admin import PortalAdmin
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.optimove.rate_limiter import WINDOW, Allowance, Priority
from promoportal.resilience.circuit_breaker import Breaker

# Seconds for which a breaker may be open before it is shown as an alert.
_A_WHILE = 15


def _badge(row: Breaker) -> SafeString:
    if row.opened_at is None:
        return stamp("good", "✓", "Closed: calls are made")
    return stamp("held", "!", "Open: no calls are made")


@admin.register(Breaker)
class BreakerAdmin(PortalAdmin):
    """The circuit breaker of each integration."""

    list_display = ("side", "state_badge", "opened", "problem", "next_time", "failures")
    fields = ("side", "state_badge", "opened", "next_time", "failures", "problem")
    alerts = (
        Alert(
            "open",
            "Breakers are open: a far side is not called",
            "Breaker is open: a far side is not called",
            # If the platform is busy, calls pause for some seconds: no alert is needed.
            lambda: Q(opened_at__lte=seconds_from_now(-_A_WHILE)),
        ),
    )
    state_badge = computed("state", _badge)
    opened = when("opened_at")
    next_time = when("open_until", "next call at")

    def heading_badges(self, row: Breaker) -> list[SafeString]:
        return [_badge(row), since(row.opened_at)]


def _recent_calls(row: Allowance) -> str:
    start = database_now() - WINDOW
    count = sum(at > start for at in row.granted_at)
    most, seconds = int(Priority.PERSON), WINDOW / timedelta(seconds=1)
    return f"{count} of {most} in the last {seconds:g} seconds"


@admin.register(Allowance)
class AllowanceAdmin(PortalAdmin):
    """The rate limit of Optimove's APIs."""

    list_display = ("name", "lately", "paused", "refusals")
    fields = ("lately", "paused", "refusals")
    name = computed("allowance", lambda _: "Calls to Optimove")
    lately = computed("calls lately", _recent_calls)
    paused = when("not_before", "Optimove said too many; wait until")

    def heading(self, row: Allowance) -> str:
        return "Calls to Optimove"
