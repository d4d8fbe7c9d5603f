"""The admin pages of redemption requests."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin
from django.utils.safestring import SafeString

from promoportal.admin.date_filter import days
from promoportal.admin.formatting import since, stamp, state_badge, words
from promoportal.admin.links import link, list_of
from promoportal.admin.list_columns import computed, numbered, when
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.panels import MAX_ROWS_SHOWN, Panel, fieldset
from redemptions.models import Redemption, Report
from rewards import redaction
from rewards.admin.reward_text import reward_text


def response(report: Report) -> str:
    """Return Optimove's response without the unique codes of the redemptions."""
    codes = report.redemptions.exclude(assignment__unique_code="")
    listed = codes.values_list("assignment__unique_code", flat=True)
    return redaction.without(report.answer, listed)


def _outcome(report: Report) -> SafeString:
    looks = {
        Report.Outcome.ACCEPTED: ("good", "✓"),
        "": ("busy", "▸"),
        Report.Outcome.UNANSWERED: ("doubt", "?"),
        Report.Outcome.LOST: ("doubt", "?"),
        Report.Outcome.UNAVAILABLE: ("next", "○"),
        Report.Outcome.NOT_SENT: ("over", "◌"),
    }
    tone, mark = looks.get(report.outcome, ("held", "!"))
    label = str(report.get_outcome_display()) if report.outcome else "Under way"
    return stamp(tone, mark, label)


@admin.register(Report)
class ReportAdmin(PortalAdmin):
    list_display = (
        *("identity", "how", "size", "status_badge", "begun", "accepted", "rejected"),
        *("status", "duration_ms"),
    )
    served_by_index = ("outcome__exact", "is_batch__exact")
    list_filter = ("outcome", "is_batch", days("begun_at", "days"))
    fieldsets = (
        fieldset(None, "how", "size", "accepted", "rejected"),
        fieldset("The call", "begun", "ended", "status", "duration_ms", "said"),
    )
    identity = numbered("report")
    how = computed("kind", lambda row: "A batch" if row.is_batch else "One by one")
    status_badge = computed("outcome", _outcome)
    begun = when("begun_at")
    ended = when("ended_at")
    said = computed("answer", lambda row: words(response(row), ""))

    def heading(self, row: Report) -> str:
        return f"Report {row.pk}"

    def heading_badges(self, row: Report) -> list[SafeString]:
        return [_outcome(row), since(row.begun_at)]

    def panels(self, row: Report) -> Iterable[Panel]:
        latest = row.redemptions.select_related("assignment").order_by("-pk")
        yield Panel(
            "Redemptions whose latest report this is",
            columns=("Customer", "Reward", "State"),
            rows=[
                (
                    link(one, one.assignment.customer),
                    reward_text(one.assignment),
                    state_badge(one),
                )
                for one in latest[:MAX_ROWS_SHOWN]
            ],
            more=[("All of them", list_of(Redemption, report=row.pk))],
        )
