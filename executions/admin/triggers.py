"""The admin pages of triggered customers, with the action to fetch again."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from executions import lifecycle
from executions.models import Execution, Trigger, TriggerState
from promoportal.admin import list_columns
from promoportal.admin.actions import Action, Actions, each_row
from promoportal.admin.alerts import held
from promoportal.admin.formatting import moment
from promoportal.admin.list_columns import link_to
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.panels import fieldset
from promoportal.admin.related_filters import narrowed
from promoportal.admin.search import Search


@admin.register(Trigger)
class TriggerAdmin(PortalAdmin):
    list_display = (
        *("customer", "execution_link", list_columns.state_and_since),
        *(list_columns.reason_and_problem, "attempts", "next_time"),
    )
    list_select_related = ("execution",)
    list_filter = ("state", "reason", narrowed("execution", Execution))
    search = Search(exact=("customer",))
    served_by_index = ("execution", "state__exact", "reason__exact", "needs")
    search_help_text = "A customer's id, in full"
    alerts = (held("Triggered customers are held", "Triggered customer is held"),)
    offered = Actions(
        (
            Action(
                "ask_again",
                "Fetch again",
                "executions.open_execution",
                each_row(
                    lifecycle.ask_again, "it waits to be asked for already", "execution"
                ),
                said=("will be asked for again", "will be asked for again"),
                fits=lambda row: row.state != TriggerState.WAITING,
            ),
        )
    )
    fieldsets = (
        fieldset(
            None,
            *("customer", "execution_link", "delivery_link"),
            list_columns.problem_in_full,
        ),
        fieldset("Work", "announced", "attempts", "next_time"),
    )
    execution_link = link_to("execution")
    delivery_link = link_to("delivery")

    @admin.display(description="asked for next")
    def next_time(self, row: Trigger) -> SafeString:
        return moment(row.not_before if row.state == TriggerState.WAITING else None)

    def heading(self, row: Trigger) -> str:
        return f"Customer {row.customer}, who triggered {row.execution.reference}"
