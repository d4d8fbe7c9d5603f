"""The admin pages of executions, with actions to fetch again, stop and resume."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions import lifecycle
from executions.models import (
    Campaign,
    Delivery,
    Execution,
    ExecutionKind,
    ExecutionProgress,
    ExecutionStop,
    Listener,
    Trigger,
)
from promoportal.admin import list_columns
from promoportal.admin.actions import Action, Actions, each_row
from promoportal.admin.alerts import Alert, held
from promoportal.admin.date_filter import days
from promoportal.admin.formatting import badge, beside, moment, since, state_badge
from promoportal.admin.links import link, link_by_name, list_of
from promoportal.admin.list_columns import computed, when
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.panels import MAX_ROWS_SHOWN, Panel, fieldset
from promoportal.admin.querysets import without_bodies
from promoportal.admin.related_filters import narrowed
from promoportal.admin.search import Search
from promoportal.admin.timeline import Moment, transitions_of
from promoportal.db.state_machine import IllegalMove


def _open_again(row: Execution, *, by: Any, why: str) -> None:
    """
    Fetch the assignments of an execution again.

    :raises IllegalMove: if the execution is cancelled
    """
    if row.stop == ExecutionStop.CANCELLED:
        raise IllegalMove(f"{row} is cancelled")
    kind = ExecutionKind(row.kind)
    lifecycle.open_execution(row.reference, kind=kind, by=by, why=why)


def _why_not(row: Execution) -> str:
    return f"it is {str(row.get_stop_display()).lower()}"


def _is_settled(row: Execution) -> bool:
    return row.state == ExecutionProgress.SETTLED


def _is(*stops: ExecutionStop) -> Callable[[Execution], bool]:
    return lambda row: row.stop in stops


def _badges(row: Execution) -> SafeString:
    """Return a badge for the progress, and one for the status if it is not running."""
    running = row.stop == ExecutionStop.NONE
    stop = "" if running else badge(row.stop, str(row.get_stop_display()))
    return format_html("{} {}", state_badge(row), stop)


# To stop an execution is safe, whatever its figures are. A resume depends on them.
_STATUS = ("status",)
ACTIONS = (
    Action(
        "open",
        "Fetch assignments again",
        "executions.open_execution",
        each_row(_open_again, _why_not),
        said=("will be collected again", "will be collected again"),
        fits=_is(ExecutionStop.NONE, ExecutionStop.PAUSED, ExecutionStop.HELD),
        about=_STATUS,
    ),
    Action(
        "pause",
        "Pause",
        "executions.stop_execution",
        each_row(lifecycle.pause, _why_not),
        said=("is paused", "are paused"),
        fits=_is(ExecutionStop.NONE),
        about=_STATUS,
        is_aside=_is_settled,
    ),
    Action(
        "resume",
        "Resume",
        "executions.stop_execution",
        each_row(lifecycle.resume, _why_not, compares=True),
        said=("runs again", "run again"),
        fits=_is(ExecutionStop.HELD, ExecutionStop.PAUSED),
    ),
    Action(
        "cancel",
        "Cancel execution",
        "executions.stop_execution",
        each_row(lifecycle.cancel, _why_not),
        said=("is cancelled", "are cancelled"),
        warning="Nothing more of it will be given, for good: what is owed or held "
        "becomes void, and a later notice does not open it again. What customers "
        "have already, they keep; what is in doubt is still settled.",
        fits=_is(ExecutionStop.NONE, ExecutionStop.PAUSED, ExecutionStop.HELD),
        about=_STATUS,
        # A later webhook may open a processed execution again, unless it is cancelled.
        is_aside=_is_settled,
    ),
)


@admin.register(Execution)
class ExecutionAdmin(PortalAdmin):
    list_display = (
        *("identity", "campaign_link", "state_and_since"),
        *(list_columns.reason_and_problem, "opened"),
    )
    list_select_related = ("campaign",)
    list_filter = (
        *("state", "stop", "reason", "kind"),
        narrowed("campaign", Campaign),
        days("opened_at", "days"),
    )
    search = Search(exact=("reference", "campaign__reference"))
    search_help_text = "An execution's or a campaign's id, in full"
    alerts = (
        held("Executions are held", "Execution is held", field="stop"),
        Alert(
            "paused",
            "Executions are paused until staff resume them",
            "Execution is paused until staff resume it",
            lambda: Q(stop=ExecutionStop.PAUSED),
        ),
    )
    offered = Actions(ACTIONS, state_label=lambda row: str(row.get_stop_display()))
    fieldsets = (
        fieldset(None, "campaign_link", "kind", "opened", list_columns.problem_in_full),
    )
    opened = when("opened_at")
    campaign_link = computed("campaign", lambda row: link_by_name(row.campaign))

    @admin.display(description="execution")
    def identity(self, row: Execution) -> SafeString:
        return beside(row.reference, str(row.get_kind_display()))

    @admin.display(description="state")
    def state_and_since(self, row: Execution) -> SafeString:
        return list_columns.state_and_since(row, _badges(row))

    def heading_badges(self, row: Execution) -> list[SafeString]:
        return [_badges(row), since(row.state_since)]

    def timeline(self, row: Execution) -> Iterable[Moment]:
        yield Moment(at=row.opened_at, what="Opened")
        yield from transitions_of(row)

    def panels(self, row: Execution) -> Iterable[Panel]:
        yield _notices(row)
        if row.kind == ExecutionKind.TRIGGERED:
            yield _triggers(row)


def _notices(row: Execution) -> Panel:
    """Return the latest webhook deliveries of an execution, newest first."""
    latest = Delivery.objects.filter(execution=row).order_by("-pk")
    deliveries = without_bodies(latest.select_related("listener"))[:MAX_ROWS_SHOWN]
    shown = [
        (link(one), _event(one.listener), state_badge(one), moment(one.received_at))
        for one in deliveries
    ]
    opened_by_hand = "Optimove told nothing of it: somebody opened it by hand."
    return Panel(
        "The notices that made it",
        columns=("Delivery", "Event", "State", "Received"),
        rows=shown,
        sentences=[] if shown else [opened_by_hand],
        more=[("All its deliveries", list_of(Delivery, execution=row.pk))],
    )


def _event(listener: Listener) -> str:
    on = f", channel {listener.channel}" if listener.channel else ""
    return f"Event {listener.event_type}{on}"


def _triggers(row: Execution) -> Panel:
    latest = Trigger.objects.filter(execution=row).order_by("-pk")[:MAX_ROWS_SHOWN]
    return Panel(
        "The customers who triggered it",
        columns=("Customer", "State", "Since"),
        rows=[
            (link(one, one.customer), state_badge(one), since(one.state_since))
            for one in latest
        ],
        more=[("All customers", list_of(Trigger, execution=row.pk))],
    )


def linked(row: Execution) -> SafeString:
    """Return a link to an execution, with the name of its campaign."""
    name = row.campaign.name if row.campaign else ""
    return link(row, beside(row.reference, name))
