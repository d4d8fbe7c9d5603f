"""Redemptions on the pages of assignments and executions."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.html import format_html

from executions.models import Execution
from promoportal.admin import page_extensions
from promoportal.admin.formatting import exchange, quoted, since, state_badge, words
from promoportal.admin.keyset_order import Order
from promoportal.admin.links import link, page_of
from promoportal.admin.panels import Panel
from promoportal.admin.timeline import Moment, transitions_of
from redemptions.admin.reports import response
from redemptions.models import Redemption, Report
from rewards import redaction
from rewards.models import Assignment


@page_extensions.panel(Assignment)
def reported(assignment: Assignment) -> Panel | None:
    """Return the panel about the redemption of the assignment."""
    row = _redemption(assignment)
    if row is None:
        return Panel("Redemption", sentences=["There is nothing to report yet."])
    state = [state_badge(row), since(row.state_since)]
    problem = quoted(redaction.redact_code(row.problem, assignment))
    return Panel(
        "Redemption",
        sentences=[format_html("{} {}", *state), *([problem] if problem else [])],
        more=[("The redemption", page_of(row))],
    )


@page_extensions.timeline(Assignment)
def redemption_moments(assignment: Assignment) -> list[Moment]:
    """Return the transitions and the latest request of the assignment's redemption."""
    row = _redemption(assignment)
    if row is None:
        return []
    reports = [_request(row.report)] if row.report else []
    return [*transitions_of(row, what="Redemption:"), *reports]


def _request(report: Report) -> Moment:
    status = f"HTTP {report.status}" if report.status else ""
    took = "" if report.duration_ms is None else f"{report.duration_ms} ms"
    outcome = str(report.get_outcome_display()) if report.outcome else "Under way"
    summary = ", ".join(part for part in (outcome, status, took) if part)
    return Moment(
        at=report.begun_at,
        what="Report",
        why=f"{summary}.",
        detail=exchange(link(report), words(response(report), "Nothing")),
    )


@page_extensions.timeline(Execution)
def activated(execution: Execution) -> Iterator[Moment]:
    """Yield the times of the first and the last activated reward with a redemption."""
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
