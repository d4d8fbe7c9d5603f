"""What the vendor was told, to look at and to tell again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions.models import Execution
from executions.narrowing import OfCampaign
from promoportal import census
from promoportal.admin import pages
from promoportal.admin.attention import Attention
from promoportal.admin.days import days
from promoportal.admin.deeds import Deed, Done
from promoportal.admin.narrowing import narrowed
from promoportal.admin.order import Order
from promoportal.admin.pages import MOST_SHOWN, Moment, Panel, moves_of
from promoportal.admin.rows import ReadOnlyAdmin, when
from promoportal.admin.sheets import Sheet
from promoportal.admin.showing import (
    exchange,
    link,
    list_of,
    moment,
    page_of,
    quoted,
    since,
    stamp,
    state_of,
    words,
)
from promoportal.admin.stateful import StatefulAdmin
from promoportal.leases import after
from redemptions import deciding
from redemptions.models import UNREPORTED, Redemption, Report, State
from rewards import revealing
from rewards.admin.assignments import UNANSWERED_FOR
from rewards.models import Assignment
from rewards.worth import worth


def _decide(
    service: Callable[..., list[int]],
) -> Callable[[QuerySet[Redemption], Any, str], Done]:
    def decide(rows: QuerySet[Redemption], by: Any, why: str) -> Done:
        there = rows.count()
        done = Done(len(service(rows, by=by, why=why)))
        if there > done.done:
            done.skipped["not held"] += there - done.done
        return done

    return decide


def _is_held(row: Redemption) -> bool:
    return row.state == State.HELD


class Told(admin.SimpleListFilter):
    """Whether the vendor has it."""

    title = "whether it is reported"
    parameter_name = "reported"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Reported"), ("no", "Not yet")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Redemption]
    ) -> QuerySet[Redemption]:
        if self.value() == "yes":
            return queryset.filter(state=State.REPORTED)
        if self.value() == "no":
            return queryset.filter(state__in=UNREPORTED)
        return queryset


@admin.register(Redemption)
class RedemptionAdmin(StatefulAdmin[Redemption]):
    sheet = Sheet(
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
        Told,
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
    labels = dict(State.choices)
    attention = (
        Attention(
            "held",
            "Redemptions are held",
            "Redemption is held",
            lambda: Q(state=State.HELD),
            by_reason=True,
            known=partial(census.held, census.Kind.REDEMPTION),
        ),
        Attention(
            "unanswered",
            "Redemptions were sent, and had no answer for 15 minutes",
            "Redemption was sent, and had no answer for 15 minutes",
            lambda: Q(state=State.UNCERTAIN, state_since__lt=after(-UNANSWERED_FOR)),
        ),
    )
    deeds = (
        Deed(
            "report_again",
            "Report again",
            "redemptions.report_again_redemption",
            _decide(deciding.report_again),
            said=("will be reported again", "will be reported again"),
            fits=_is_held,
        ),
        Deed(
            "write_off",
            "Write off",
            "redemptions.write_off_redemption",
            _decide(deciding.write_off),
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
        return revealing.hidden(row.problem, row.assignment)

    @admin.display(description="customer")
    def who(self, row: Redemption) -> str:
        return row.assignment.customer

    @admin.display(description="reward")
    def what(self, row: Redemption) -> str:
        return worth(row.assignment)

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
        said = {State.WAITING: "Reported at", State.UNCERTAIN: "Looked at again at"}
        name = said.get(State(row.state))
        return (
            format_html("{} {}", name, moment(row.not_before)) if name else _nothing()
        )

    def heading(self, row: Redemption) -> str:
        return f"Redemption of {worth(row.assignment)} by {row.assignment.customer}"


def _answer(report: Report) -> str:
    """What Optimove answered, without the codes of those whose latest report it is."""
    codes = report.redemptions.exclude(assignment__unique_code="")
    listed = codes.values_list("assignment__unique_code", flat=True)
    return revealing.without(report.answer, listed)


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
class ReportAdmin(ReadOnlyAdmin[Report]):
    list_display = (
        "identity",
        "how",
        "size",
        "status_badge",
        "begun",
        "accepted",
        "rejected",
        "status",
        "duration_ms",
    )
    indexed = ("outcome__exact", "is_batch__exact")
    list_filter = ("outcome", "is_batch", days("begun_at", "days"))
    fieldsets = (
        (None, {"fields": ("how", "size", "accepted", "rejected")}),
        ("The call", {"fields": ("begun", "ended", "status", "duration_ms", "said")}),
    )
    begun = when("begun_at")
    ended = when("ended_at")

    @admin.display(description="report")
    def identity(self, row: Report) -> str:
        return f"Report {row.pk}"

    @admin.display(description="kind")
    def how(self, row: Report) -> str:
        return "A batch" if row.is_batch else "One by one"

    @admin.display(description="outcome")
    def status_badge(self, row: Report) -> SafeString:
        return _outcome(row)

    @admin.display(description="answer")
    def said(self, row: Report) -> SafeString:
        return words(_answer(row), "")

    def heading(self, row: Report) -> str:
        return f"Report {row.pk}"

    def marks(self, row: Report) -> list[SafeString]:
        return [_outcome(row), since(row.begun_at)]

    def panels(self, row: Report) -> Iterable[Panel]:
        latest = row.redemptions.select_related("assignment").order_by("-pk")
        yield Panel(
            "Redemptions whose latest report this is",
            columns=("Customer", "Reward", "State"),
            rows=[
                (
                    link(one, one.assignment.customer),
                    worth(one.assignment),
                    state_of(one),
                )
                for one in latest[:MOST_SHOWN]
            ],
            more=[("All of them", list_of(Redemption, report=row.pk))],
        )


# --- On the pages of earlier rooms ----------------------------------------------------


@pages.panel(Assignment)
def reported(assignment: Assignment) -> Panel | None:
    """Whether the vendor was told."""
    row = _redemption(assignment)
    if row is None:
        return Panel("Redemption", sentences=["There is nothing to report yet."])
    said = [state_of(row), since(row.state_since)]
    problem = quoted(revealing.hidden(row.problem, assignment))
    return Panel(
        "Redemption",
        sentences=[format_html("{} {}", *said), *([problem] if problem else [])],
        more=[("The redemption", page_of(row))],
    )


@pages.story(Assignment)
def told(assignment: Assignment) -> list[Moment]:
    """What became of telling the vendor."""
    row = _redemption(assignment)
    if row is None:
        return []
    reports = [_carried(row.report)] if row.report else []
    return [*moves_of(row, dict(State.choices), what="Redemption:"), *reports]


def _carried(report: Report) -> Moment:
    """The report as one of those that it carried tells of it."""
    status = f"HTTP {report.status}" if report.status else ""
    took = "" if report.duration_ms is None else f"{report.duration_ms} ms"
    outcome = str(report.get_outcome_display()) if report.outcome else "Under way"
    said = ", ".join(part for part in (outcome, status, took) if part)
    return Moment(
        at=report.begun_at,
        what="Report",
        why=f"{said}.",
        detail=exchange(link(report), words(_answer(report), "Nothing")),
    )


@pages.story(Execution)
def activated(execution: Execution) -> Iterator[Moment]:
    """When its customers began to have it, and when the last so far did."""
    rows = Redemption.objects.filter(execution=execution)
    order = Order(is_narrowed=True)
    first, last = order.oldest(rows).first(), order.newest(rows).first()
    if first is None or last is None:
        return
    yield Moment(at=first.redeemed_at, what="First activation")
    if last != first:
        yield Moment(at=last.redeemed_at, what="Last activation so far")


def _redemption(assignment: Assignment) -> Redemption | None:
    return (
        Redemption.objects.filter(assignment=assignment)
        .select_related("report")
        .first()
    )


def _nothing() -> SafeString:
    return SafeString("")
