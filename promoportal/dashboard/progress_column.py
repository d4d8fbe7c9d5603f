"""The progress of an execution in one table cell: a bar and the numbers of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from executions.models import Execution
from promoportal.admin import page_extensions
from promoportal.admin.charts import Part, stacked_bar
from promoportal.admin.formatting import stamp
from promoportal.admin.links import list_of
from promoportal.operations.execution_statistics import ExecutionStatistics
from redemptions.models import Redemption, RedemptionState
from rewards.models import Assignment, AssignmentState

_PARTS = (
    ("active", "good", (AssignmentState.ACTIVE,)),
    ("owed", "next", (AssignmentState.OWED, AssignmentState.ACTIVATING)),
    ("uncertain", "doubt", (AssignmentState.UNCERTAIN,)),
    ("held", "held", (AssignmentState.HELD,)),
)


def parts(statistics: ExecutionStatistics) -> list[Part]:
    """Return the execution's assignments by state, as parts of a bar."""
    return [
        Part(name, sum(statistics.assigned[state] for state in states), tone)
        for name, tone, states in _PARTS
    ]


def progress_bar(statistics: ExecutionStatistics) -> SafeString:
    """Return the bar and the figures; the number of rows in `HELD` is a link."""
    if not statistics.assignments:
        return SafeString("Nothing is listed yet.")
    figures = [*_counts(statistics), *_held(statistics)]
    return format_html(
        '{}<span class="progress-figures">{}</span>',
        stacked_bar(parts(statistics)),
        format_html_join(" ", "<span>{}</span>", ((figure,) for figure in figures)),
    )


def _counts(statistics: ExecutionStatistics) -> Iterator[str]:
    yield f"{statistics.eligible:,} eligible"
    yield f"{statistics.assigned[AssignmentState.ACTIVE]:,} active"
    yield f"{statistics.redeemed[RedemptionState.REPORTED]:,} reported"


def _held(statistics: ExecutionStatistics) -> Iterator[SafeString]:
    narrowed = {
        "execution": statistics.execution.pk,
        "state__exact": AssignmentState.HELD,
    }
    if count := statistics.assigned[AssignmentState.HELD]:
        yield _held_link(list_of(Assignment, **narrowed), f"{count:,} held")
    if count := statistics.redeemed[RedemptionState.HELD]:
        reports = "report" if count == 1 else "reports"
        yield _held_link(list_of(Redemption, **narrowed), f"{count:,} {reports} held")


def _held_link(href: str, label: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', href, stamp("held", "!", label))


# --- In the list ----------------------------------------------------------------------


def _prepare(rows: Sequence[Execution]) -> None:
    """Attach the figures to each row of a page; more rows need no more queries."""
    for statistics in ExecutionStatistics.of_each(rows):
        vars(statistics.execution)["statistics"] = statistics


@page_extensions.column(Execution, after="campaign_link", prepared=_prepare)
@admin.display(description="how far")
def progress(row: Execution) -> SafeString:
    return progress_bar(vars(row)["statistics"])
