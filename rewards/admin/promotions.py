"""The list and the page of promotions, with the actions for their reporting mode."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet

from promoportal.admin.actions import Action, Actions
from promoportal.admin.display_name_form import DisplayNameForm
from promoportal.admin.formatting import called
from promoportal.admin.links import list_of
from promoportal.admin.list_columns import computed, when
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.panels import Panel
from promoportal.admin.search import Search
from promoportal.db import row_versions
from promoportal.db.bulk_result import BulkResult, SkipKind, SkipReason
from promoportal.db.row_versions import Seen
from rewards.models import Assignment, Promotion

Mode = Promotion.Mode
# For each mode, the action that sets it: name, label, and end of the message.
_ACTIONS = {
    Mode.TRIGGERED: ("at_once", "Report immediately", "reported at once"),
    Mode.SCHEDULED: ("in_batches", "Report in batches", "reported in batches"),
    Mode.OFF: ("not_at_all", "Turn off reporting", "not reported"),
    Mode.DEFAULT: (
        *("as_set", "Use default reporting"),
        "reported as the portal is set",
    ),
}
_UNCHANGED = SkipReason(SkipKind.UNCHANGED, "it is reported like this already")


def _set_mode(
    mode: Mode, rows: QuerySet[Promotion], *, seen: Seen | None = None, **_: Any
) -> BulkResult:
    """Set the mode of the rows. The caller must have begun a transaction."""
    result, keys = BulkResult(), []
    for row in rows.order_by("pk").select_for_update():
        same = _UNCHANGED if row.redemption_mode == mode else None
        skipped = row_versions.changed(row, seen) or same
        result.record(row, skipped)
        keys += [] if skipped else [row.pk]
    Promotion.objects.filter(pk__in=keys).update(redemption_mode=mode)
    return result


def _is_not(mode: Mode, row: Promotion) -> bool:
    return row.redemption_mode != mode


@admin.register(Promotion)
class PromotionAdmin(PortalAdmin):
    display_name = DisplayNameForm("rewards.name_promotion")
    list_display = (called, "code", "reported", "first_seen")
    list_filter = ("redemption_mode",)
    search = Search(exact=("reference", "code"), prefix=("name",))
    served_by_index = ("q",)
    search_help_text = "A promotion's id or code in full, or how its name begins"
    fields = ("reference", "code", "reported", "first_seen")
    offered = Actions(
        [
            Action(
                name,
                label,
                "rewards.set_redemption_mode",
                partial(_set_mode, mode),
                said=(f"is {says} from now on", f"are {says} from now on"),
                fits=partial(_is_not, mode),
                is_only_logged=True,
            )
            for mode, (name, label, says) in _ACTIONS.items()
        ]
    )
    reported = computed(
        "activations are reported", lambda row: str(row.get_redemption_mode_display())
    )
    first_seen = when("first_seen_at", "first seen")

    def panels(self, row: Promotion) -> Iterable[Panel]:
        href = list_of(Assignment, promotion=row.pk)
        yield Panel("Assignments", more=[("All assignments of this promotion", href)])
