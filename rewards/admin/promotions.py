"""Promotions, and how what they give is reported."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet

from promoportal.admin.actions import Action
from promoportal.admin.display_name_admin import NamedAdmin
from promoportal.admin.links import list_of
from promoportal.admin.list_columns import when
from promoportal.admin.panels import Panel
from promoportal.db.bulk_result import BulkResult, SkipKind, SkipReason
from rewards.models import Assignment, Promotion

_UNCHANGED = SkipReason(SkipKind.UNCHANGED, "it is reported like this already")


def _set_mode(mode: Promotion.Mode, rows: QuerySet[Promotion], **_: Any) -> BulkResult:
    result = BulkResult()
    for row in rows.order_by("pk"):
        result.record(row, _UNCHANGED if row.redemption_mode == mode else None)
    rows.exclude(redemption_mode=mode).update(redemption_mode=mode)
    return result


def _mode(name: str, label: str, mode: Promotion.Mode, says: str) -> Action:
    return Action(
        name,
        label,
        "rewards.set_redemption_mode",
        partial(_set_mode, mode),
        said=(f"is {says} from now on", f"are {says} from now on"),
        fits=lambda row: row.redemption_mode != mode,
        is_only_logged=True,
    )


@admin.register(Promotion)
class PromotionAdmin(NamedAdmin[Promotion]):
    naming = "rewards.name_promotion"
    list_display = ("called", "code", "reported", "first_seen")
    list_filter = ("redemption_mode",)
    finds = ("reference", "code")
    search_help_text = "A promotion's id or code in full, or how its name begins"
    fields = ("reference", "code", "reported", "first_seen")
    deeds = (
        _mode(
            "at_once", "Report at once", Promotion.Mode.TRIGGERED, "reported at once"
        ),
        _mode(
            "in_batches",
            "Report in batches",
            Promotion.Mode.SCHEDULED,
            "reported in batches",
        ),
        _mode("not_at_all", "Do not report", Promotion.Mode.OFF, "not reported"),
        _mode(
            "as_set",
            "Report as the portal is set",
            Promotion.Mode.DEFAULT,
            "reported as the portal is set",
        ),
    )
    first_seen = when("first_seen_at", "first seen")

    @admin.display(description="activations are reported")
    def reported(self, row: Promotion) -> str:
        return str(row.get_redemption_mode_display())

    def panels(self, row: Promotion) -> Iterable[Panel]:
        href = list_of(Assignment, promotion=row.pk)
        yield Panel("Assignments", more=[("All assignments of this promotion", href)])
