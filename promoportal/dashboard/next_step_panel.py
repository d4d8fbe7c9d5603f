"""The first panel of an assignment's page: the reward's status and next step."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from promoportal.admin import page_extensions
from promoportal.admin.formatting import beside, moment, quoted, since, state_badge
from promoportal.admin.panels import Panel
from promoportal.operations import next_step
from rewards import redaction
from rewards.models import Assignment, AssignmentState

# --- In the list ----------------------------------------------------------------------


@page_extensions.column(
    Assignment, after="reason_and_problem", prefetch_lookups=("redemption",)
)
@admin.display(description="what happens next")
def happens_next(row: Assignment) -> SafeString:
    """Return the next step and its time; nothing for a `VOID` row with a reason."""
    is_over = row.state == AssignmentState.VOID and not row.doubtful
    if is_over and row.reason:
        return SafeString("")
    step = next_step.of(row)
    return beside(step.sentence, moment(step.at))


@page_extensions.panel(Assignment)
def answer(row: Assignment) -> Panel:
    """Return the panel with the status of the reward, the reason and the next step."""
    return Panel("Where it is", sentences=list(_sentences(row)), is_wide=True)


def _sentences(row: Assignment) -> Iterator[str]:
    step = next_step.of(row)
    yield format_html(
        "<strong>{}</strong> {} since {}",
        step.activation_status.label,
        state_badge(row),
        since(row.state_since),
    )
    if why := _why(row):
        yield quoted(why)
    at = format_html(" Not before {}.", moment(step.at)) if step.at else ""
    yield format_html("{}{}", step.action, at)


def _why(row: Assignment) -> str:
    parts = (row.get_reason_display(), redaction.redact_code(row.problem, row))
    return " ".join(map(_sentence, filter(None, parts)))


def _sentence(part: str) -> str:
    """Add a full stop, unless the text already ends with one, or with JSON."""
    return part if part.endswith((".", "}", "]", '"')) else f"{part}."
