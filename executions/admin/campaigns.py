"""The campaigns that were seen, and what they ran."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin

from executions.models import Campaign, Execution
from promoportal.admin.display_name_admin import NamedAdmin
from promoportal.admin.formatting import moment, state_of
from promoportal.admin.links import link, list_of
from promoportal.admin.list_columns import when
from promoportal.admin.panels import MAX_ROWS_SHOWN, Panel


@admin.register(Campaign)
class CampaignAdmin(NamedAdmin[Campaign]):
    naming = "executions.name_campaign"
    list_display = ("called", "first_seen")
    finds = ("reference",)
    search_help_text = "A campaign's id in full, or how its name begins"
    fields = ("reference", "first_seen")
    first_seen = when("first_seen_at", "first seen")

    def panels(self, row: Campaign) -> Iterable[Panel]:
        latest = Execution.objects.filter(campaign=row).order_by("-pk")[:MAX_ROWS_SHOWN]
        shown = [
            (link(run, run.reference), state_of(run), moment(run.opened_at))
            for run in latest
        ]
        more = [
            ("All executions of this campaign", list_of(Execution, campaign=row.pk))
        ]
        yield Panel(
            "The latest executions",
            columns=("Execution", "Progress", "Opened"),
            rows=shown,
            more=more,
        )
