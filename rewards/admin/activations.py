"""The list of activated rewards, with a filter by day and a CSV export."""

from __future__ import annotations

from django.contrib import admin

from executions.admin.executions import linked
from promoportal.admin.csv_export import CsvExport
from promoportal.admin.date_filter import days
from promoportal.admin.links import link
from promoportal.admin.list_columns import computed, when
from promoportal.admin.model_admin import PortalAdmin
from rewards.admin.reward_text import NO_CUSTOMER, worth_and_promotion
from rewards.models import Activation


@admin.register(Activation)
class ActivationAdmin(PortalAdmin):
    """The list of activated rewards in order of time, for a fast filter by day."""

    list_display = ("at_when", "who", "what", "execution_link", "person")
    list_filter = (days("at", "days"),)
    list_prefetch_related = ("row__execution__campaign", "row__promotion", "by")
    is_narrowed = True
    # Without codes, because a customer could redeem the code of another customer.
    export = CsvExport(
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
    fields = list_display
    at_when = when("at", "activated")
    who = computed(
        "customer", lambda row: link(row.row, row.row.customer or NO_CUSTOMER)
    )
    what = computed("reward", lambda row: worth_and_promotion(row.row))
    execution_link = computed("execution", lambda row: linked(row.row.execution))
    # Empty if the platform confirmed the activation.
    person = computed("said by", lambda row: str(row.by or ""))
