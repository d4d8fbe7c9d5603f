"""The list and the page of assignments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from django.contrib import admin
from django.db.models import Q
from django.http.response import HttpResponseBase
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from executions.admin.campaign_filter import OfCampaign
from executions.admin.executions import linked
from executions.models import Execution
from promoportal.admin import list_columns
from promoportal.admin.alerts import Alert, held
from promoportal.admin.csv_export import CsvExport
from promoportal.admin.date_filter import days
from promoportal.admin.formatting import pretty, since, stamp, state_badge
from promoportal.admin.links import link_by_name, page_of_customer
from promoportal.admin.list_columns import computed, when
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.panels import fieldset
from promoportal.admin.posted_form import PostedForm
from promoportal.admin.related_filters import narrowed, narrowed_by
from promoportal.admin.search import Search
from promoportal.admin.timeline import Moment, transitions_of
from promoportal.db import state_counts
from promoportal.db.database_clock import seconds_from_now
from promoportal.optimove import Meaning
from rewards import approvals
from rewards.admin import assignment_actions, bulk_retries
from rewards.admin.attempt_timeline import attempted
from rewards.admin.reward_text import NO_CUSTOMER, reward_text, worth_and_promotion
from rewards.admin.tier_filter import OfTier
from rewards.models import Assignment, AssignmentReason, AssignmentState, Promotion
from rewards.redaction import masked, redact_code

# Seconds until staff see an unknown outcome. Most are resolved in a minute or two.
UNANSWERED_FOR = 15 * 60
MAX_ATTEMPTS = 200


_MEANINGS: dict[str, str] = {
    Meaning.ACTIVATE: "to be given",
    Meaning.NOTHING: "nothing to give",
    Meaning.CANCELLED: "taken back",
    Meaning.UNKNOWN: "not understood",
}

# Filters that only links use: an execution's page links to the rows that it counts.
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


def _customer_link(row: Assignment) -> SafeString:
    if not row.customer:
        return SafeString(NO_CUSTOMER)
    here = page_of_customer(row.customer)
    return format_html('<a href="{}">{}</a>', here, row.customer)


def _badges(row: Assignment) -> SafeString:
    if not row.doubtful:
        return state_badge(row)
    return format_html("{} {}", state_badge(row), stamp("doubt", "?", "In doubt"))


def _doubt(row: Assignment) -> str:
    unanswered = "An attempt went unanswered: the customer may have it, or not."
    return unanswered if row.doubtful else ""


def _proposed(row: Assignment) -> SafeString:
    first = approvals.open_proposals().filter(assignment=row).first()
    if first is None:
        return SafeString("")
    proposal = f"{first.by} says: {first.get_says_display()}. {first.why}"
    void = "" if approvals.is_about(first, row) else _VOID
    return format_html("{} {} {}", proposal, since(first.at), void)


_VOID = "The assignment changed since then: this does not count any more."


def _second(row: Assignment) -> str:
    repeated = "The customer has another of this promotion from the same execution."
    return repeated if row.repeated else ""


def _too_late(row: Assignment) -> str:
    late = "It was taken back after the customer had it."
    return late if row.cancelled_too_late else ""


@admin.register(Assignment)
class AssignmentAdmin(PortalAdmin):
    list_display = (
        *("who", "state_and_since", "what", "reason_and_problem", "execution_link"),
    )
    list_select_related = ("execution__campaign", "promotion")
    list_filter = (
        *("state", "reason", "doubtful", "cancelled_too_late"),
        OfCampaign,
        narrowed("execution", Execution),
        narrowed("promotion", Promotion),
        OfTier,
        *_BY_LINKS,
        days("created_at", "days it was listed on"),
    )
    search = Search(exact=("customer",), uuid=("key",))
    served_by_index = (
        *("campaign", "execution", "promotion", "state__exact", "reason__exact"),
        *("doubtful__exact=1", "cancelled_too_late__exact=1"),
        *("needs=held", "needs=in_doubt", "needs=unanswered"),
        *("needs=changed", "needs=too_late", "needs=void_in_doubt"),
    )
    # Without codes, because a customer could redeem the code of another customer.
    export = CsvExport(
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
    alerts = (
        held(
            "Assignments are held",
            "Assignment is held",
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
        Alert(
            "changed",
            "Activated rewards were changed by Optimove: tell CRM",
            "Activated reward was changed by Optimove: tell CRM",
            lambda: Q(
                state=AssignmentState.ACTIVE,
                reason=AssignmentReason.DIFFERS,
                told_at=None,
            ),
        ),
        Alert(
            "too_late",
            "Rewards were cancelled after their activation: tell CRM",
            "Reward was cancelled after its activation: tell CRM",
            lambda: Q(cancelled_too_late=True, told_at=None),
        ),
        Alert(
            "void_in_doubt",
            "Rewards without activation may have been activated after the backup",
            "Reward without activation may have been activated after the backup",
            lambda: Q(state=AssignmentState.VOID, doubtful=True),
        ),
    )
    offered = assignment_actions.OFFERED
    sensitive = assignment_actions.CODES
    fieldsets = (
        fieldset(
            None,
            *("customer_link", "reward_in_words", "promotion_link", "execution_link"),
            *("doubt", "proposed", "second", "too_late", "masked_receipt", "evidence"),
        ),
        fieldset(
            "What Optimove said",
            *("reference", "listed_as", "assigned", "unique_code", "vendors_row"),
        ),
        fieldset(
            "What we made of it",
            *("meaning_in_words", "reward_read", "key", "what_is_sent", "first_sent"),
            *("attempts", "failures", "deaths"),
        ),
    )
    change_list_template = "admin/assignment_list.html"
    change_form_template = "admin/assignment_detail.html"
    who = computed("customer", lambda row: row.customer or NO_CUSTOMER)
    what = computed("reward", worth_and_promotion)
    execution_link = computed("execution", lambda row: linked(row.execution))
    customer_link = computed("customer", _customer_link)
    reward_in_words = computed("reward", reward_text)
    promotion_link = computed("promotion", lambda row: link_by_name(row.promotion))
    doubt = computed("in doubt", _doubt)
    proposed = computed("waits for a second person", _proposed)
    second = computed("second assignment", _second)
    too_late = computed("cancelled too late", _too_late)
    masked_receipt = computed("receipt", lambda row: redact_code(row.receipt, row))
    listed_as = computed("its status", lambda row: row.vendor_status)
    assigned = when("assigned_at")
    masked_code = computed("unique code", lambda row: masked(row.unique_code))
    vendors_row = computed("the row", lambda row: pretty(row.as_assigned))
    meaning_in_words = computed(
        "its status means",
        lambda row: capfirst(_MEANINGS.get(row.meaning, row.meaning)),
    )
    reward_read = computed("reward", lambda row: pretty(row.reward))
    what_is_sent = computed("what is sent", lambda row: pretty(row.order))
    first_sent = when("first_sent_at", "first sent, since it was last owed")

    @admin.display(description="state")
    def state_and_since(self, row: Assignment) -> SafeString:
        return list_columns.state_and_since(row, _badges(row))

    @admin.display(description="why")
    def reason_and_problem(self, row: Assignment) -> str:
        return list_columns.reason_and_problem(row, redact_code(row.problem, row))

    def heading(self, row: Assignment) -> str:
        return f"{reward_text(row) or 'Assignment'} for {row.customer or 'nobody'}"

    def heading_badges(self, row: Assignment) -> list[SafeString]:
        return [_badges(row), since(row.state_since)]

    def timeline(self, row: Assignment) -> Iterable[Moment]:
        yield Moment(
            at=row.created_at,
            what="Listed by Optimove",
            why=f"Its status was {row.vendor_status}." if row.vendor_status else "",
        )
        for moved in transitions_of(row):
            yield replace(moved, why=redact_code(moved.why, row))
        latest = row.history.order_by("-begun_at", "-pk")[:MAX_ATTEMPTS]
        for attempt in latest:
            yield attempted(row, attempt)

    def handle_custom_post(self, form: PostedForm) -> HttpResponseBase | None:
        return bulk_retries.answer(form) if "retry_all" in form.data else None
