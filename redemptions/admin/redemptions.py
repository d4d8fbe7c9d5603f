"""The admin pages of redemptions, with the actions to report again and write off."""

from __future__ import annotations

from functools import partial

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions.admin.campaign_filter import OfCampaign
from executions.models import Execution
from promoportal.admin import list_columns
from promoportal.admin.actions import Action, Actions
from promoportal.admin.alerts import Alert, held
from promoportal.admin.csv_export import CsvExport
from promoportal.admin.date_filter import days
from promoportal.admin.formatting import moment
from promoportal.admin.links import link
from promoportal.admin.list_columns import computed, link_to, when
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.panels import fieldset
from promoportal.admin.related_filters import narrowed, narrowed_by
from promoportal.admin.search import Search
from promoportal.db import state_counts
from promoportal.db.database_clock import seconds_from_now
from redemptions import decisions
from redemptions.models import UNREPORTED, Redemption, RedemptionState, Report
from rewards import redaction
from rewards.admin.assignments import UNANSWERED_FOR
from rewards.admin.reward_text import reward_text

_REPORTED = narrowed_by(
    "reported",
    "whether it is reported",
    {
        "yes": ("Reported", Q(state=RedemptionState.REPORTED)),
        "no": ("Not yet", Q(state__in=UNREPORTED)),
    },
)


def _is_held(row: Redemption) -> bool:
    return row.state == RedemptionState.HELD


def _problem(row: Redemption) -> str:
    return redaction.redact_code(row.problem, row.assignment)


@admin.register(Redemption)
class RedemptionAdmin(PortalAdmin):
    export = CsvExport(
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
        *("who", list_columns.state_and_since, "what", "reason_and_problem"),
        *("next_time", "report_link", "execution_link"),
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
    search = Search(exact=("assignment__customer",), uuid=("reference",))
    served_by_index = (
        *("campaign", "execution", "report", "state__exact", "reason__exact"),
        *("reported", "needs"),
    )
    search_help_text = "A customer's id or our reference, in full"
    alerts = (
        held(
            "Redemptions are held",
            "Redemption is held",
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
    offered = Actions(
        (
            Action(
                "report_again",
                "Retry report",
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
    )
    fieldsets = (
        fieldset(
            None,
            *("assignment_link", "execution_link", "report_link", "problem_in_full"),
            "next_time",
        ),
        fieldset("What is reported", "reference", "redeemed", "mode", "batch_limit"),
        fieldset("Work", "attempts", "failures", "malformed"),
    )
    who = computed("customer", lambda row: row.assignment.customer)
    what = computed("reward", lambda row: reward_text(row.assignment))
    assignment_link = link_to("assignment")
    execution_link = link_to("execution")
    redeemed = when("redeemed_at")
    reason_and_problem = computed(
        "why", lambda row: list_columns.reason_and_problem(row, _problem(row))
    )
    problem_in_full = computed(
        "what is wrong", lambda row: list_columns.problem_in_full(row, _problem(row))
    )

    @admin.display(description="latest report")
    def report_link(self, row: Redemption) -> SafeString:
        # Only the key is shown, so the redemption request is not fetched.
        report = Report(pk=row.report_id) if row.report_id else None
        return link(report, f"Report {row.report_id}")

    @admin.display(description="next")
    def next_time(self, row: Redemption) -> SafeString:
        labels = {
            RedemptionState.WAITING: "Reported at",
            RedemptionState.UNCERTAIN: "Looked at again at",
        }
        if label := labels.get(RedemptionState(row.state)):
            return format_html("{} {}", label, moment(row.not_before))
        return SafeString("")

    def heading(self, row: Redemption) -> str:
        return (
            f"Redemption of {reward_text(row.assignment)} by {row.assignment.customer}"
        )
