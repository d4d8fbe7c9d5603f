"""The admin pages of campaigns, with their latest executions."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin

from executions.models import Campaign, Execution
from promoportal.admin.display_name_form import DisplayNameForm
from promoportal.admin.formatting import called, moment, state_badge
from promoportal.admin.links import link, list_of
from promoportal.admin.list_columns import when
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.panels import MAX_ROWS_SHOWN, Panel
from promoportal.admin.search import Search


@admin.register(Campaign)
class CampaignAdmin(PortalAdmin):
    display_name = DisplayNameForm("executions.name_campaign")
    list_display = (called, "first_seen")
    search = Search(exact=("reference",), prefix=("name",))
    served_by_index = ("q",)
    search_help_text = "A campaign's id in full, or how its name begins"
    fields = ("reference", "first_seen")
    first_seen = when("first_seen_at", "first seen")

    def panels(self, row: Campaign) -> Iterable[Panel]:
        latest = Execution.objects.filter(campaign=row).order_by("-pk")[:MAX_ROWS_SHOWN]
        shown = [
            (link(run, run.reference), state_badge(run), moment(run.opened_at))
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
