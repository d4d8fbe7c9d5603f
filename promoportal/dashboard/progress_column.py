"""How far an execution is, in one cell: a bar, its figures, and what keeps the rest."""

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


def parts(standing: ExecutionStatistics) -> list[Part]:
    """Return the execution's assignments by state, as parts of a bar."""
    return [
        Part(name, sum(standing.assigned[state] for state in states), tone)
        for name, tone, states in _PARTS
    ]


def how_far(standing: ExecutionStatistics) -> SafeString:
    """What is held leads to exactly these rows."""
    if not standing.assignments:
        return SafeString("Nothing is listed yet.")
    figures = [*_counts(standing), *_held(standing)]
    return format_html(
        '{}<span class="progress-figures">{}</span>',
        stacked_bar(parts(standing)),
        format_html_join(" ", "<span>{}</span>", ((one,) for one in figures)),
    )


def _counts(standing: ExecutionStatistics) -> Iterator[str]:
    yield f"{standing.eligible:,} eligible"
    yield f"{standing.assigned[AssignmentState.ACTIVE]:,} active"
    yield f"{standing.redeemed[RedemptionState.REPORTED]:,} reported"


def _held(standing: ExecutionStatistics) -> Iterator[SafeString]:
    narrowed = {
        "execution": standing.execution.pk,
        "state__exact": AssignmentState.HELD,
    }
    if count := standing.assigned[AssignmentState.HELD]:
        yield _lead(list_of(Assignment, **narrowed), f"{count:,} held")
    if count := standing.redeemed[RedemptionState.HELD]:
        reports = "report" if count == 1 else "reports"
        yield _lead(list_of(Redemption, **narrowed), f"{count:,} {reports} held")


def _lead(href: str, label: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', href, stamp("held", "!", label))


# --- In the list ----------------------------------------------------------------------


def _stand(rows: Sequence[Execution]) -> None:
    """Have each row of a page say how it stands, in two questions for all of them."""
    for standing in ExecutionStatistics.of_each(rows):
        vars(standing.execution)["how_it_stands"] = standing


@page_extensions.column(Execution, after="campaign_link", prepared=_stand)
@admin.display(description="how far")
def progress(row: Execution) -> SafeString:
    """How far the execution is."""
    return how_far(vars(row)["how_it_stands"])
