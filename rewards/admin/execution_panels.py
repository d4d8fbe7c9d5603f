"""Panels and timelines about fetches and assignments on the pages of `executions`."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.html import format_html

from executions.models import Campaign, Execution, Trigger
from promoportal.admin import page_extensions
from promoportal.admin.formatting import since, state_badge
from promoportal.admin.links import link, list_of, page_of
from promoportal.admin.panels import MAX_ROWS_SHOWN, Fact, Panel
from promoportal.admin.timeline import Moment, transitions_of
from rewards.admin.reward_text import reward_text
from rewards.models import Assignment, Collection, Lookup


@page_extensions.panel(Execution)
def collected(execution: Execution) -> Panel | None:
    """Return the progress of the assignment fetch of an execution."""
    row = Collection.objects.filter(execution=execution).first()
    if row is None:
        return Panel("Collection", sentences=["Nothing was collected yet."])
    of = f" of {row.total:,}" if row.total is not None else ""
    facts = [
        Fact("pass begun" if row.number == 1 else "passes begun", f"{row.number:,}"),
        Fact(
            f"{'row' if row.seen == 1 else 'rows'} seen in the last",
            f"{row.seen:,}{of}",
        ),
    ]
    return Panel(
        "Collection",
        facts=facts,
        sentences=[
            format_html("{} {}", state_badge(row), since(row.state_since)),
            *([row.problem] if row.problem else []),
            *_lookups(row),
        ],
        more=[("How it was collected", page_of(row))],
    )


def _lookups(row: Collection) -> Iterator[str]:
    """Yield a sentence about the look-up whose pages are being fetched, if any."""
    for lookup in Lookup.objects.filter(collection=row):
        count, pages = len(lookup.waiting), lookup.pages
        who = (
            "1 triggered customer is"
            if count == 1
            else f"{count:,} triggered customers are"
        )
        yield (
            f"{who} being looked up: {pages:,} {'page' if pages == 1 else 'pages'} so far."
        )


@page_extensions.timeline(Execution)
def passes(execution: Execution) -> list[Moment]:
    """Return the state changes of the assignment fetch, with user and reason."""
    row = Collection.objects.filter(execution=execution).first()
    return transitions_of(row, what="Collection:") if row else []


@page_extensions.panel(Campaign)
def assigned_by(campaign: Campaign) -> Panel:
    """Return a link to all assignments of a campaign."""
    href = list_of(Assignment, campaign=campaign.pk)
    return Panel("Assignments", more=[("All assignments of this campaign", href)])


@page_extensions.panel(Trigger)
def assigned(trigger: Trigger) -> Panel | None:
    """Return the assignments of a triggered customer in this execution."""
    found = Assignment.objects.filter(
        execution=trigger.execution_id, customer=trigger.customer
    )
    rows = [
        (link(row, reward_text(row) or str(row)), state_badge(row))
        for row in found.order_by("-pk")[:MAX_ROWS_SHOWN]
    ]
    if not rows:
        return Panel("Assignments", sentences=["Optimove lists none yet."])
    return Panel("Assignments", columns=("Reward", "State"), rows=rows)
