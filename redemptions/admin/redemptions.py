"""What the vendor was told, to look at and to tell again."""

from __future__ import annotations

from functools import partial

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions.admin.campaign_filter import OfCampaign
from executions.models import Execution
from promoportal.admin.actions import Action
from promoportal.admin.alerts import Alert
from promoportal.admin.csv_export import CsvExport
from promoportal.admin.date_filter import days
from promoportal.admin.formatting import moment
from promoportal.admin.links import link
from promoportal.admin.list_columns import when
from promoportal.admin.related_filters import narrowed, narrowed_by
from promoportal.admin.stateful_admin import StatefulAdmin
from promoportal.db import state_counts
from promoportal.db.database_clock import seconds_from_now
from redemptions import decisions
from redemptions.models import UNREPORTED, Redemption, RedemptionState, Report
from rewards import redaction
from rewards.admin.assignments import UNANSWERED_FOR
from rewards.admin.reward_text import reward_text


def _is_held(row: Redemption) -> bool:
    return row.state == RedemptionState.HELD


_REPORTED = narrowed_by(
    "reported",
    "whether it is reported",
    {
        "yes": ("Reported", Q(state=RedemptionState.REPORTED)),
        "no": ("Not yet", Q(state__in=UNREPORTED)),
    },
)


@admin.register(Redemption)
class RedemptionAdmin(StatefulAdmin[Redemption]):
    sheet = CsvExport(
        "redemptions.export_redemption",
        {
            "customer": "assignment__customer",
            "execution": "execution__reference",
            "assignment": "assignment__reference",
            "activated at": "redeemed_at",
            "state": "state",
            "since": "state_since",
            "reason": "reason",
            "reference": "reference",
        },
    )
    list_display = (
        "who",
        "standing",
        "what",
        "why",
        "next_time",
        "report_link",
        "execution_link",
    )
    list_select_related = ("assignment", "execution")
    list_filter = (
        _REPORTED,
        "state",
        "reason",
        OfCampaign,
        narrowed("execution", Execution),
        narrowed("report", Report),
        days("redeemed_at", "days of activation"),
    )
    finds = ("assignment__customer",)
    finds_uuid = ("reference",)
    indexed = (
        *("campaign", "execution", "report", "state__exact", "reason__exact"),
        *("reported", "needs"),
    )
    search_help_text = "A customer's id or our reference, in full"
    attention = (
        Alert(
            "held",
            "Redemptions are held",
            "Redemption is held",
            lambda: Q(state=RedemptionState.HELD),
            by_reason=True,
            known=partial(state_counts.held, state_counts.CountKind.REDEMPTION),
        ),
        Alert(
            "unanswered",
            "Redemptions were sent, and had no answer for 15 minutes",
            "Redemption was sent, and had no answer for 15 minutes",
            lambda: Q(
                state=RedemptionState.UNCERTAIN,
                state_since__lt=seconds_from_now(-UNANSWERED_FOR),
            ),
        ),
    )
    deeds = (
        Action(
            "report_again",
            "Report again",
            "redemptions.report_again_redemption",
            decisions.report_again,
            said=("will be reported again", "will be reported again"),
            fits=_is_held,
        ),
        Action(
            "write_off",
            "Write off",
            "redemptions.write_off_redemption",
            decisions.write_off,
            said=("is written off", "are written off"),
            warning="Optimove will not be told that the customer has the reward.",
            fits=_is_held,
        ),
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "assignment_link",
                    "execution_link",
                    "report_link",
                    "problem_in_full",
                    "next_time",
                )
            },
        ),
        (
            "What is reported",
            {"fields": ("reference", "redeemed", "mode", "batch_limit")},
        ),
        ("Work", {"fields": ("attempts", "failures", "malformed")}),
    )
    redeemed = when("redeemed_at")

    def problem_of(self, row: Redemption) -> str:
        return redaction.redact_code(row.problem, row.assignment)

    @admin.display(description="customer")
    def who(self, row: Redemption) -> str:
        return row.assignment.customer

    @admin.display(description="reward")
    def what(self, row: Redemption) -> str:
        return reward_text(row.assignment)

    @admin.display(description="assignment")
    def assignment_link(self, row: Redemption) -> SafeString:
        return link(row.assignment)

    @admin.display(description="execution")
    def execution_link(self, row: Redemption) -> SafeString:
        return link(row.execution, row.execution.reference)

    @admin.display(description="latest report")
    def report_link(self, row: Redemption) -> SafeString:
        # Its key is all that is shown, and no reason to fetch it.
        report = Report(pk=row.report_id) if row.report_id else None
        return link(report, f"Report {row.report_id}")

    @admin.display(description="next")
    def next_time(self, row: Redemption) -> SafeString:
        said = {
            RedemptionState.WAITING: "Reported at",
            RedemptionState.UNCERTAIN: "Looked at again at",
        }
        name = said.get(RedemptionState(row.state))
        return (
            format_html("{} {}", name, moment(row.not_before)) if name else _nothing()
        )

    def heading(self, row: Redemption) -> str:
        return (
            f"Redemption of {reward_text(row.assignment)} by {row.assignment.customer}"
        )


def _nothing() -> SafeString:
    return SafeString("")
