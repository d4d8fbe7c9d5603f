"""One run of a campaign: how far it is, and what stops it."""

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
from promoportal.admin.actions import Action, each_row
from promoportal.admin.alerts import Alert
from promoportal.admin.date_filter import days
from promoportal.admin.formatting import badge, beside, moment, since, state_of
from promoportal.admin.links import link, link_by_name, list_of
from promoportal.admin.list_columns import when
from promoportal.admin.panels import MAX_ROWS_SHOWN, Panel
from promoportal.admin.querysets import without_bodies
from promoportal.admin.related_filters import narrowed
from promoportal.admin.stateful_admin import StatefulAdmin
from promoportal.admin.timeline import Moment
from promoportal.db.state_machine import IllegalMove


def _open_again(row: Execution, *, by: Any, why: str) -> None:
    """
    Fetch its assignments again.

    :raises IllegalMove: if it is cancelled
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


@admin.register(Execution)
class ExecutionAdmin(StatefulAdmin[Execution]):
    list_display = (
        "identity",
        "campaign_link",
        "standing",
        "why",
        "opened",
    )
    list_select_related = ("campaign",)
    list_filter = (
        "state",
        "stop",
        "reason",
        "kind",
        narrowed("campaign", Campaign),
        days("opened_at", "days"),
    )
    finds = ("reference", "campaign__reference")
    search_help_text = "An execution's or a campaign's id, in full"
    attention = (
        Alert(
            "held",
            "Executions are held",
            "Execution is held",
            lambda: Q(stop=ExecutionStop.HELD),
            by_reason=True,
        ),
    )
    deeds = (
        Action(
            "open",
            "Collect again",
            "executions.open_execution",
            each_row(_open_again, _why_not),
            said=("will be collected again", "will be collected again"),
            fits=_is(ExecutionStop.NONE, ExecutionStop.PAUSED, ExecutionStop.HELD),
        ),
        Action(
            "pause",
            "Pause",
            "executions.stop_execution",
            each_row(lifecycle.pause, _why_not),
            said=("is paused", "are paused"),
            fits=_is(ExecutionStop.NONE),
            is_aside=_is_settled,
        ),
        Action(
            "resume",
            "Resume",
            "executions.stop_execution",
            each_row(lifecycle.resume, _why_not),
            said=("runs again", "run again"),
            fits=_is(ExecutionStop.HELD, ExecutionStop.PAUSED),
        ),
        Action(
            "cancel",
            "Cancel",
            "executions.stop_execution",
            each_row(lifecycle.cancel, _why_not),
            said=("is cancelled", "are cancelled"),
            warning="Nothing more of it will be given, for good: what is owed or held "
            "becomes void, and a later notice does not open it again. What customers "
            "have already, they keep; what is in doubt is still settled.",
            fits=_is(ExecutionStop.NONE, ExecutionStop.PAUSED, ExecutionStop.HELD),
            # A later notice may open it again, so it can be stopped before.
            is_aside=_is_settled,
        ),
    )
    fieldsets = (
        (None, {"fields": ("campaign_link", "kind", "opened", "problem_in_full")}),
    )
    opened = when("opened_at")

    @admin.display(description="execution")
    def identity(self, row: Execution) -> SafeString:
        return beside(row.reference, str(row.get_kind_display()))

    @admin.display(description="campaign")
    def campaign_link(self, row: Execution) -> SafeString:
        return link_by_name(row.campaign)

    @admin.display(description="state")
    def status(self, row: Execution) -> SafeString:
        """How far it is, and what stops it."""
        return format_html("{} {}", super().status(row), self.stopped(row))

    def version(self, row: Execution) -> str:
        """It moves by itself all the time; what stops it is what people decide about."""
        return row.stop

    def stands(self, row: Execution) -> str:
        return str(row.get_stop_display())

    def stopped(self, row: Execution) -> SafeString:
        if row.stop == ExecutionStop.NONE:
            return SafeString("")
        return badge(row.stop, str(row.get_stop_display()))

    def story(self, row: Execution) -> Iterable[Moment]:
        yield Moment(at=row.opened_at, what="Opened")
        yield from super().story(row)

    def panels(self, row: Execution) -> Iterable[Panel]:
        yield _notices(row)
        if row.kind == ExecutionKind.TRIGGERED:
            yield _triggers(row)


def _notices(row: Execution) -> Panel:
    """What the vendor told of it, the latest first."""
    latest = Delivery.objects.filter(execution=row).order_by("-pk")
    told = without_bodies(latest.select_related("listener"))[:MAX_ROWS_SHOWN]
    shown = [
        (
            link(one),
            _event(one.listener),
            state_of(one),
            moment(one.received_at),
        )
        for one in told
    ]
    nobody = "Optimove told nothing of it: somebody opened it by hand."
    return Panel(
        "The notices that made it",
        columns=("Delivery", "Event", "State", "Received"),
        rows=shown,
        sentences=[] if shown else [nobody],
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
            (link(one, one.customer), state_of(one), since(one.state_since))
            for one in latest
        ],
        more=[("All customers", list_of(Trigger, execution=row.pk))],
    )


def linked(row: Execution) -> SafeString:
    """Its page, with its campaign's name beside it."""
    name = row.campaign.name if row.campaign else ""
    return link(row, beside(row.reference, name))
