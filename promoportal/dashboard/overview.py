"""Panels of the overview: executions in progress, today's figures, integrations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from executions.models import Delivery, Execution, ExecutionProgress, ExecutionStop
from promoportal.admin import page_extensions
from promoportal.admin.charts import columns
from promoportal.admin.formatting import badge, since, stamp, state_badge
from promoportal.admin.links import link, link_by_name, list_of
from promoportal.admin.panels import Panel
from promoportal.dashboard.progress_column import progress_bar
from promoportal.db import state_counts
from promoportal.db.database_clock import database_now
from promoportal.db.state_counts import Flow
from promoportal.operations.execution_statistics import ExecutionStatistics
from promoportal.resilience.circuit_breaker import Breaker, Side
from rewards.models import Activation, Assignment

# Maximum number of executions in the panel; the list has all of them.
MAX_EXECUTIONS_SHOWN = 8
_WEEK = timedelta(days=7)
_DAY = timedelta(days=1)
_HOURS = 24
_FLOWS = ("assigned", "activated", "reported")
# The model of the list to which today's number links.
_ROWS = {"assigned": Assignment, "activated": Activation}


@page_extensions.front
def executions_in_progress(request: HttpRequest) -> Panel | None:
    """Return the newest executions that are not processed, with their progress."""
    if not request.user.has_perm("executions.view_execution"):
        return None
    moving = Execution.objects.exclude(state=ExecutionProgress.SETTLED).order_by("-pk")
    newest = moving.select_related("campaign")[:MAX_EXECUTIONS_SHOWN]
    rows = ExecutionStatistics.of_each(newest)
    if not rows:
        return Panel("Under way", sentences=["No execution is under way."])
    return Panel(
        "Under way",
        columns=("Execution", "Campaign", "How far", "Pace"),
        rows=[
            (
                link(row.execution, row.execution.reference),
                link_by_name(row.execution.campaign),
                progress_bar(row),
                row.pace or _status(row.execution),
            )
            for row in rows
        ],
        more=[("All executions", list_of(Execution))],
    )


def _status(row: Execution) -> SafeString:
    if row.stop != ExecutionStop.NONE:
        return badge(row.stop, str(row.get_stop_display()))
    return state_badge(row)


@page_extensions.front
def today(request: HttpRequest) -> Panel | None:
    """Return today's figures by hour, and those of the same weekday a week before."""
    if not request.user.has_perm("rewards.view_assignment"):
        return None
    now = localtime(database_now())
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    this, last = _flows(midnight), _flows(midnight - _WEEK)
    rows = [_flow(name, this, last, now.hour) for name in _FLOWS]
    return Panel(
        f"Today, beside last {midnight:%A}",
        columns=("", "By the hour", "Today", "Then, by this hour"),
        rows=[*rows, *_values(midnight, now)],
    )


def _flows(midnight: datetime) -> dict[int, Flow]:
    flows = state_counts.flows(midnight, midnight + _DAY)
    return {localtime(flow.hour).hour: flow for flow in flows}


def _flow(
    name: str, this: dict[int, Flow], last: dict[int, Flow], hour: int
) -> tuple[str, SafeString, SafeString, str]:
    now, then = (
        [getattr(day.get(at), name, 0) for at in range(_HOURS)] for day in (this, last)
    )
    so_far, by_now = sum(now), sum(then[: hour + 1])
    label = f"{so_far:,} {name} today, {by_now:,} by this hour a week ago"
    return name, columns(now, then, label), _linked(name, so_far), f"{by_now:,}"


def _linked(name: str, count: int) -> SafeString:
    """Return the number, with a link to the list of today's rows if there is one."""
    if name not in _ROWS:
        return format_html("{}", f"{count:,}")
    href = list_of(_ROWS[name], days="today")
    return format_html('<a href="{}">{}</a>', href, f"{count:,}")


def _values(midnight: datetime, now: datetime) -> Iterator[tuple[str, str, str, str]]:
    this = state_counts.given(midnight, now)
    last = state_counts.given(midnight - _WEEK, now - _WEEK)
    for unit in sorted(this.keys() | last.keys()):
        yield f"{unit} given", "", _worth(this.get(unit)), _worth(last.get(unit))


def _worth(value: Decimal | None) -> str:
    return f"{value or 0:,.2f}"


@page_extensions.front
def integrations(request: HttpRequest) -> Panel | None:
    """Return each integration's status, and the time of the last webhook delivery."""
    if not request.user.has_perm("promoportal.view_breaker"):
        return None
    stored = {row.side: row for row in Breaker.objects.all()}
    breakers = [stored.get(side.value, Breaker(side=side)) for side in Side]
    rows = [
        (row.get_side_display(), _health(row), row.problem if row.opened_at else "")
        for row in breakers
    ]
    times = Delivery.objects.order_by("-pk").values_list("received_at", flat=True)
    last = times.first()
    received = since(last) if last else "No notice came yet."
    return Panel("Far sides", rows=[*rows, ("Notices", "", received)])


def _health(row: Breaker) -> SafeString:
    if row.opened_at:
        return stamp("held", "!", "Not called")
    if row.failures:
        failures = "failure" if row.failures == 1 else "failures in a row"
        return stamp("doubt", "?", f"{row.failures:,} {failures}")
    return stamp("good", "✓", "Answers")
