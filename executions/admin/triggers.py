"""Customers who came one by one, and asking for them again."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString

from executions import lifecycle
from executions.models import Execution, Trigger, TriggerState
from promoportal.admin.actions import Action, each_row
from promoportal.admin.alerts import Alert
from promoportal.admin.formatting import moment
from promoportal.admin.links import link
from promoportal.admin.related_filters import narrowed
from promoportal.admin.stateful_admin import StatefulAdmin


@admin.register(Trigger)
class TriggerAdmin(StatefulAdmin[Trigger]):
    list_display = (
        "customer",
        "execution_link",
        "standing",
        "why",
        "attempts",
        "next_time",
    )
    list_select_related = ("execution",)
    list_filter = ("state", "reason", narrowed("execution", Execution))
    finds = ("customer",)
    indexed = ("execution", "state__exact", "reason__exact", "needs")
    search_help_text = "A customer's id, in full"
    attention = (
        Alert(
            "held",
            "Triggered customers are held",
            "Triggered customer is held",
            lambda: Q(state=TriggerState.HELD),
            by_reason=True,
        ),
    )
    deeds = (
        Action(
            "ask_again",
            "Ask again",
            "executions.open_execution",
            each_row(
                lifecycle.ask_again, "it waits to be asked for already", "execution"
            ),
            said=("will be asked for again", "will be asked for again"),
            fits=lambda row: row.state != TriggerState.WAITING,
        ),
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "customer",
                    "execution_link",
                    "delivery_link",
                    "problem_in_full",
                )
            },
        ),
        ("Work", {"fields": ("announced", "attempts", "next_time")}),
    )

    @admin.display(description="execution")
    def execution_link(self, row: Trigger) -> SafeString:
        return link(row.execution, row.execution.reference)

    @admin.display(description="delivery")
    def delivery_link(self, row: Trigger) -> SafeString:
        return link(row.delivery)

    @admin.display(description="asked for next")
    def next_time(self, row: Trigger) -> SafeString:
        return moment(row.not_before if row.state == TriggerState.WAITING else None)

    def heading(self, row: Trigger) -> str:
        return f"Customer {row.customer}, who triggered {row.execution.reference}"
