"""What each customer is owed, to look at and to decide about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from executions.admin.campaign_filter import OfCampaign
from executions.admin.executions import linked
from executions.models import Execution
from promoportal.admin.actions import Action
from promoportal.admin.alerts import Alert
from promoportal.admin.csv_export import CsvExport
from promoportal.admin.date_filter import days
from promoportal.admin.formatting import pretty, since, stamp
from promoportal.admin.links import link_by_name, page_of, page_of_customer
from promoportal.admin.list_columns import when
from promoportal.admin.related_filters import narrowed, narrowed_by
from promoportal.admin.sensitive_fields import NOT_SHOWN
from promoportal.admin.stateful_admin import StatefulAdmin
from promoportal.admin.timeline import Moment
from promoportal.db import state_counts
from promoportal.db.database_clock import seconds_from_now
from promoportal.optimove import Meaning
from rewards import approvals, redaction
from rewards.admin import assignment_actions, bulk_retries, bulk_retry_preview
from rewards.admin.assignment_actions import DEEDS
from rewards.admin.attempt_timeline import attempted
from rewards.admin.reward_text import reward_text, worth_and_promotion
from rewards.admin.tier_filter import OfTier
from rewards.models import Assignment, AssignmentState, Promotion

# Settling takes a minute or two; what is unanswered for longer is looked at.
UNANSWERED_FOR = 15 * 60
MAX_ATTEMPTS = 200


_MEANINGS: dict[str, str] = {
    Meaning.ACTIVATE: "to be given",
    Meaning.NOTHING: "nothing to give",
    Meaning.CANCELLED: "taken back",
    Meaning.UNKNOWN: "not understood",
}

# The page of an execution links to exactly the rows that it counts.
_BY_LINKS = (
    narrowed_by(
        "meaning__exact",
        "what Optimove's word means",
        {str(key): (label, Q(meaning=key)) for key, label in _MEANINGS.items()},
        is_offered=False,
    ),
    narrowed_by(
        "redemption__isnull",
        "report",
        {"True": ("without a redemption", Q(redemption__isnull=True))},
        is_offered=False,
    ),
)


@admin.register(Assignment)
class AssignmentAdmin(StatefulAdmin[Assignment]):
    list_display = (
        "who",
        "standing",
        "what",
        "why",
        "execution_link",
    )
    list_select_related = ("execution__campaign", "promotion")
    list_filter = (
        "state",
        "reason",
        "doubtful",
        "cancelled_too_late",
        OfCampaign,
        narrowed("execution", Execution),
        narrowed("promotion", Promotion),
        OfTier,
        *_BY_LINKS,
        days("created_at", "days it was listed on"),
    )
    finds = ("customer",)
    finds_uuid = ("key",)
    indexed = (
        *("campaign", "execution", "promotion", "state__exact", "reason__exact"),
        *("doubtful__exact=1", "cancelled_too_late__exact=1"),
        *("needs=held", "needs=in_doubt", "needs=unanswered"),
    )
    # Codes are money, and stay here.
    sheet = CsvExport(
        "rewards.export_assignment",
        {
            "customer": "customer",
            "execution": "execution__reference",
            "promotion": "promotion__reference",
            "assignment": "reference",
            "value": "value",
            "unit": "unit",
            "state": "state",
            "since": "state_since",
            "reason": "reason",
            "in doubt": "doubtful",
            "assigned at": "assigned_at",
            "first sent at, since it was last owed": "first_sent_at",
            "receipt": "receipt",
        },
    )
    search_help_text = "A customer's id or a key, in full"
    attention = (
        Alert(
            "held",
            "Assignments are held",
            "Assignment is held",
            lambda: Q(state=AssignmentState.HELD),
            by_reason=True,
            known=partial(state_counts.held, state_counts.CountKind.ASSIGNMENT),
        ),
        Alert(
            "in_doubt",
            "Held assignments may have been given: find out, and say so",
            "Held assignment may have been given: find out, and say so",
            lambda: Q(state=AssignmentState.HELD, doubtful=True),
        ),
        Alert(
            "proposed",
            "Doubtful assignments wait for a second person to say the same",
            "Doubtful assignment waits for a second person to say the same",
            lambda: Q(proposal__in=approvals.open_proposals()),
        ),
        Alert(
            "unanswered",
            "Assignments were sent, and had no answer for 15 minutes",
            "Assignment was sent, and had no answer for 15 minutes",
            lambda: Q(
                state=AssignmentState.UNCERTAIN,
                state_since__lt=seconds_from_now(-UNANSWERED_FOR),
            ),
        ),
    )
    deeds = DEEDS
    reveal = assignment_actions.CODES
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "customer_link",
                    "reward_in_words",
                    "promotion_link",
                    "execution_link",
                    "doubt",
                    "proposed",
                    "second",
                    "too_late",
                    "masked_receipt",
                    "evidence",
                )
            },
        ),
        (
            "What Optimove said",
            {
                "fields": (
                    "reference",
                    "listed_as",
                    "assigned",
                    "unique_code",
                    "vendors_row",
                )
            },
        ),
        (
            "What we made of it",
            {
                "fields": (
                    "meaning_in_words",
                    "reward_read",
                    "key",
                    "what_is_sent",
                    "first_sent",
                    "attempts",
                    "failures",
                    "deaths",
                )
            },
        ),
    )
    change_list_template = "admin/assignment_list.html"
    change_form_template = "admin/assignment_detail.html"
    assigned = when("assigned_at")
    first_sent = when("first_sent_at", "first sent, since it was last owed")

    def offered(self, row: Assignment, request: HttpRequest) -> list[Action]:
        """Leave out what this person has proposed already, and a second has to say."""
        deeds = super().offered(row, request)
        proposed = approvals.said_by(row, request.user) if row.doubtful else ""
        return [each for each in deeds if not proposed or each.proposes != proposed]

    def posted(self, request: HttpRequest) -> HttpResponseBase | None:
        """Ask what trying again all that match would do, and then do it."""
        if "retry_all" not in request.POST:
            return None
        if not request.user.has_perm("rewards.retry_assignment"):
            raise self.refused(
                request, "Try again all that match", "rewards.retry_assignment"
            )
        changes: Any = self.get_changelist_instance(request)
        rows = changes.get_queryset(request)
        if rows.query.is_empty():
            return self._back(request, "Nothing was done: the list says why.")
        said = request.POST if "why" in request.POST else None
        form = bulk_retries.RetryAllForm(said)
        if form.is_valid():
            retrial = bulk_retries.begin(
                rows, form.cleaned_data, request, narrowed=", ".join(changes.narrowed)
            )
            return HttpResponseRedirect(page_of(retrial))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Try again all that match",
            "cl": changes,
            "narrowed": changes.narrowed,
            "preview": bulk_retry_preview.preview(rows, request.GET.dict()),
            "form": form,
            "back": request.get_full_path(),
        }
        return TemplateResponse(request, "admin/bulk_retry.html", context)

    @admin.display(description="customer")
    def who(self, row: Assignment) -> str:
        return row.customer or "(not readable)"

    @admin.display(description="customer")
    def customer_link(self, row: Assignment) -> SafeString:
        if not row.customer:
            return SafeString(self.who(row))
        here = page_of_customer(row.customer)
        return format_html('<a href="{}">{}</a>', here, row.customer)

    def problem_of(self, row: Assignment) -> str:
        return redaction.redact_code(row.problem, row)

    @admin.display(description="reward")
    def what(self, row: Assignment) -> SafeString:
        return worth_and_promotion(row)

    @admin.display(description="reward")
    def reward_in_words(self, row: Assignment) -> str:
        return reward_text(row)

    @admin.display(description="promotion")
    def promotion_link(self, row: Assignment) -> SafeString:
        return link_by_name(row.promotion)

    @admin.display(description="execution")
    def execution_link(self, row: Assignment) -> SafeString:
        return linked(row.execution)

    @admin.display(description="state")
    def status(self, row: Assignment) -> SafeString:
        shown = super().status(row)
        if not row.doubtful:
            return shown
        return format_html("{} {}", shown, stamp("doubt", "?", "In doubt"))

    @admin.display(description="in doubt")
    def doubt(self, row: Assignment) -> str:
        if not row.doubtful:
            return ""
        return "An attempt went unanswered: the customer may have it, or not."

    @admin.display(description="waits for a second person")
    def proposed(self, row: Assignment) -> SafeString:
        first = approvals.open_proposals().filter(assignment=row).first()
        if first is None:
            return SafeString("")
        said = f"{first.by} says: {first.get_says_display()}. {first.why}"
        return format_html("{} {}", said, since(first.at))

    @admin.display(description="second assignment")
    def second(self, row: Assignment) -> str:
        if not row.repeated:
            return ""
        return "The customer has another of this promotion from the same execution."

    @admin.display(description="cancelled too late")
    def too_late(self, row: Assignment) -> str:
        if not row.cancelled_too_late:
            return ""
        return "It was taken back after the customer had it."

    @admin.display(description="its status")
    def listed_as(self, row: Assignment) -> str:
        return row.vendor_status

    @admin.display(description="receipt")
    def masked_receipt(self, row: Assignment) -> str:
        return redaction.redact_code(row.receipt, row)

    @admin.display(description="unique code")
    def masked_code(self, row: Assignment) -> str:
        return redaction.masked(row.unique_code)

    @admin.display(description="the row")
    def hidden_row(self, row: Assignment) -> str:
        return NOT_SHOWN

    @admin.display(description="what is sent")
    def hidden_order(self, row: Assignment) -> str:
        return NOT_SHOWN if row.order else ""

    @admin.display(description="the row")
    def vendors_row(self, row: Assignment) -> SafeString:
        return pretty(row.as_assigned)

    @admin.display(description="its status means")
    def meaning_in_words(self, row: Assignment) -> str:
        return capfirst(_MEANINGS.get(row.meaning, row.meaning))

    @admin.display(description="reward")
    def reward_read(self, row: Assignment) -> SafeString:
        return pretty(row.reward)

    @admin.display(description="what is sent")
    def what_is_sent(self, row: Assignment) -> SafeString:
        return pretty(row.order)

    def heading(self, row: Assignment) -> str:
        return f"{reward_text(row) or 'Assignment'} for {row.customer or 'nobody'}"

    def story(self, row: Assignment) -> Iterable[Moment]:
        yield Moment(
            at=row.created_at,
            what="Listed by Optimove",
            why=f"Its status was {row.vendor_status}." if row.vendor_status else "",
        )
        for moved in super().story(row):
            yield replace(moved, why=redaction.redact_code(moved.why, row))
        latest = row.history.order_by("-begun_at", "-pk")[:MAX_ATTEMPTS]
        for attempt in latest:
            yield attempted(row, attempt)
