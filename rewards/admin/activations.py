"""What was activated, day by day: the list that finance and CRM take along."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from executions.admin.executions import linked
from promoportal.admin.csv_export import CsvExport
from promoportal.admin.date_filter import days
from promoportal.admin.links import link
from promoportal.admin.list_columns import when
from promoportal.admin.model_admin import ReadOnlyAdmin
from rewards.admin.reward_text import worth_and_promotion
from rewards.models import Activation


@admin.register(Activation)
class ActivationAdmin(ReadOnlyAdmin[Activation]):
    """Kept in the order of time, so that a day of them is as quick as any page."""

    list_display = ("at_when", "who", "what", "execution_link", "person")
    list_filter = (days("at", "days"),)
    list_beside = ("row__execution__campaign", "row__promotion", "by")
    is_narrowed = True
    # Codes are money, and stay here.
    sheet = CsvExport(
        "rewards.export_assignment",
        {
            "activated at": "at",
            "customer": "row__customer",
            "value": "row__value",
            "unit": "row__unit",
            "promotion": "row__promotion__reference",
            "execution": "row__execution__reference",
            "assignment": "row__reference",
            "receipt": "row__receipt",
            "said by": "by__username",
        },
    )
    fields = ("at_when", "who", "what", "execution_link", "person")
    at_when = when("at", "activated")

    @admin.display(description="customer")
    def who(self, row: Activation) -> SafeString:
        return link(row.row, row.row.customer or "(not readable)")

    @admin.display(description="reward")
    def what(self, row: Activation) -> SafeString:
        return worth_and_promotion(row.row)

    @admin.display(description="execution")
    def execution_link(self, row: Activation) -> SafeString:
        return linked(row.row.execution)

    @admin.display(description="said by")
    def person(self, row: Activation) -> str:
        """Who said that it was given; nobody, where the platform did."""
        return str(row.by or "")
