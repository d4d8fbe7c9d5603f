"""
The search for a customer by ID, and the page with all assignments of a customer.

There is no table of customers: each assignment contains the ID of its customer.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from executions.models import Trigger
from promoportal.admin import links
from promoportal.admin.actions import Action
from promoportal.admin.formatting import moment, stamp, state_badge
from promoportal.admin.links import list_of
from promoportal.admin.querysets import key_in
from promoportal.db import row_versions
from promoportal.db.database_clock import seconds_from_now
from promoportal.operations import next_step
from promoportal.operations.next_step import NextStep
from promoportal.optimove import Meaning
from redemptions.models import RedemptionState
from rewards import redaction
from rewards.admin import assignment_actions
from rewards.admin.assignments import UNANSWERED_FOR
from rewards.admin.reward_text import reward_text
from rewards.models import Assignment, AssignmentState

# Maximum number of ids that a search finds, and of rewards on one page.
MAX_CUSTOMERS_FOUND = 50
MAX_ASSIGNMENTS_SHOWN = 50
page_of = links.page_of_customer


@dataclass(frozen=True)
class Reward:
    """One reward as the page of its customer shows it."""

    row: Assignment
    worth: str
    state: SafeString
    next: NextStep
    actions: list[Action]
    seen: str
    is_revealed: bool

    @property
    def is_nothing(self) -> bool:
        """Return whether Optimove assigned nothing, and nothing can be activated."""
        return (
            self.row.state == AssignmentState.VOID
            and not self.row.doubtful
            and self.row.meaning == Meaning.NOTHING
        )

    @property
    def code(self) -> str:
        code = self.row.unique_code
        return code if self.is_revealed else redaction.masked(code)

    @property
    def problem(self) -> str:
        return redaction.redact_code(self.row.problem, self.row)

    @property
    def when(self) -> SafeString:
        return moment(self.row.assigned_at or self.row.created_at)

    @property
    def evidence(self) -> str:
        """Return the facts about the reward as text, which Support can copy."""
        row, redemption = self.row, getattr(self.row, "redemption", None)
        is_reported = redemption and redemption.state == RedemptionState.REPORTED
        reported = redemption.state_since if redemption and is_reported else None
        facts = [
            ("Customer", row.customer),
            ("Reward", self.worth),
            ("Promotion", str(row.promotion or "")),
            ("Execution", row.execution.reference),
            ("Assignment", row.reference),
            ("Assigned", _time(row.assigned_at)),
            ("First sent, since it was last owed", _time(row.first_sent_at)),
            ("Key", str(row.key or "")),
            ("State", f"{row.get_state_display()}, since {_time(row.state_since)}"),
            ("Attempts", str(row.attempts or "")),
            ("Receipt", redaction.redact_code(row.receipt, row)),
            ("Reported", _time(reported)),
            ("Reference of the report", getattr(redemption, "reference", "")),
        ]
        return "\n".join(f"{name}: {value}" for name, value in facts if value)


def _time(at: datetime | None) -> str:
    return f"{localtime(at):%Y-%m-%d %H:%M:%S %Z}" if at else ""


@permission_required("rewards.view_assignment", raise_exception=True)
def search(request: HttpRequest) -> HttpResponse:
    """List the IDs that begin with the term. Open an exact or only match."""
    term = request.GET.get("q", "").strip().replace("\0", "")
    found = _found(term) if term else []
    if found[:1] == [term] or len(found) == 1:
        return HttpResponseRedirect(page_of(found[0]))
    context = {
        "title": "Customers",
        "term": term,
        "found": [(each, page_of(each)) for each in found[:MAX_CUSTOMERS_FOUND]],
        "is_more": len(found) > MAX_CUSTOMERS_FOUND,
        "most": MAX_CUSTOMERS_FOUND,
    }
    return _page(request, "admin/customer_search.html", context)


@permission_required("rewards.view_assignment", raise_exception=True)
def customer(request: HttpRequest, customer: str) -> HttpResponse:
    """
    Show all assignments of one customer over all campaigns, the newest first.

    The first page starts with the assignments that need review. Later pages show
    them again at their places: an assignment can change to `HELD` while the user reads.
    It is better to show an assignment twice than not at all.
    """
    customer = links.customer_named(customer)
    if "\0" in customer:
        raise Http404
    key = key_in(request.GET.get("older", ""))
    needing = list(_in_review(customer)[:MAX_ASSIGNMENTS_SHOWN]) if key is None else []
    found = list(_others(customer, needing, key)[: MAX_ASSIGNMENTS_SHOWN + 1])
    if not needing and not found and key is None:
        return _not_found(request, customer)
    shown = [*needing, *found[:MAX_ASSIGNMENTS_SHOWN]]
    revealed = assignment_actions.CODES.shown(shown, request.user)
    rewards = [_reward(row, request, revealed) for row in shown]
    context: dict[str, Any] = {
        "title": f"Customer {customer}",
        "customer": customer,
        "rewards": [reward for reward in rewards if not reward.is_nothing],
        "nothing": [reward for reward in rewards if reward.is_nothing],
        "reveal": assignment_actions.CODES.action,
        "older": shown[-1].pk if len(found) > MAX_ASSIGNMENTS_SHOWN else "",
        "is_first": key is None,
        "actions_address": list_of(Assignment),
        "here": page_of(customer),
    }
    return _page(request, "admin/customer_detail.html", context)


def _not_found(request: HttpRequest, customer: str) -> HttpResponse:
    """Show the search page with the executions that the customer triggered."""
    announced = Trigger.objects.filter(customer=customer).order_by("-pk")[
        :MAX_ASSIGNMENTS_SHOWN
    ]
    context = {
        "title": "Customers",
        "term": customer,
        "announced": [(trigger, links.page_of(trigger)) for trigger in announced],
    }
    return _page(request, "admin/customer_search.html", context, status=404)


def _page(
    request: HttpRequest, template: str, context: dict[str, Any], **options: Any
) -> TemplateResponse:
    context = {**admin.site.each_context(request), **context}
    return TemplateResponse(request, template, context, **options)


def _found(term: str) -> list[str]:
    """Return the IDs that begin with the term, in order; only an index is read."""
    matching = Assignment.objects.filter(customer__startswith=term).order_by("customer")
    ids = matching.values_list("customer", flat=True).distinct()
    return list(ids[: MAX_CUSTOMERS_FOUND + 1])


def _in_review(customer: str) -> QuerySet[Assignment]:
    """Return assignments in `HELD`, or without a response for `UNANSWERED_FOR`."""
    unanswered = Q(
        state=AssignmentState.UNCERTAIN,
        state_since__lt=seconds_from_now(-UNANSWERED_FOR),
    )
    return _of(customer).filter(Q(state=AssignmentState.HELD) | unanswered)


def _others(
    customer: str, shown: Sequence[Assignment], key: int | None
) -> QuerySet[Assignment]:
    """Return the assignments except `shown`; with a key, only those older than it."""
    rows = _of(customer).exclude(pk__in=[row.pk for row in shown])
    return rows if key is None else rows.filter(pk__lt=key)


def _of(customer: str) -> QuerySet[Assignment]:
    rows = Assignment.objects.filter(customer=customer).order_by("-pk")
    return rows.select_related("execution__campaign", "promotion", "redemption")


def _reward(row: Assignment, request: HttpRequest, revealed: Set[int]) -> Reward:
    state = state_badge(row)
    doubtful = stamp("doubt", "?", "In doubt")
    offered = assignment_actions.OFFERED
    return Reward(
        row,
        reward_text(row) or "Reward",
        SafeString(f"{state} {doubtful}") if row.doubtful else state,
        next_step.of(row),
        [
            action
            for action in offered.allowed(request.user)
            if action.for_support and action.fits(row)
        ],
        row_versions.encode(row_versions.versions([row])),
        row.pk in revealed,
    )
