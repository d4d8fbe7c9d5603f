"""What an assignment's page says before all else: who has it, and what happens next."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from promoportal.admin import page_extensions
from promoportal.admin.formatting import moment, quoted, since, state_badge
from promoportal.admin.panels import Panel
from promoportal.operations import next_step as prospects
from promoportal.operations.next_step import NextStep, of
from rewards import redaction
from rewards.models import Assignment, AssignmentState

# --- In the list ----------------------------------------------------------------------


@page_extensions.column(
    Assignment, after="reason_and_problem", prefetch_lookups=("redemption",)
)
@admin.display(description="what happens next")
def happens_next(row: Assignment) -> SafeString:
    """What happens next to it, and when; nothing, where why it is void says so."""
    if row.state == AssignmentState.VOID and row.reason:
        return SafeString("")
    prospect = of(row)
    if prospect.at is None:
        return format_html("{}", prospect.sentence)
    at = moment(prospect.at)
    return format_html('{} <span class="beside">{}</span>', prospect.sentence, at)


@page_extensions.panel(Assignment)
def answer(row: Assignment) -> Panel:
    """Where the bonus is, for whoever asks on the customer's behalf."""
    return Panel("Where it is", sentences=list(_sentences(row)), is_wide=True)


def _sentences(row: Assignment) -> Iterator[str]:
    has_it, next_step = prospects.activation_status(row), prospects.of(row)
    yield format_html(
        "<strong>{}</strong> {} since {}",
        has_it,
        state_badge(row),
        since(row.state_since),
    )
    if why := _why(row):
        yield quoted(why)
    yield _next(next_step, has_it)


def _why(row: Assignment) -> str:
    said = (row.get_reason_display(), redaction.redact_code(row.problem, row))
    return " ".join(map(_stopped, filter(None, said)))


def _stopped(part: str) -> str:
    """A sentence with its full stop, unless a far side's own words end it."""
    return part if part.endswith((".", "}", "]", '"')) else f"{part}."


def _next(step: NextStep, known: str) -> SafeString:
    """The next step, without what was said already, and when it is taken."""
    sentence = step.sentence.removeprefix(known).strip()
    if step.at is None:
        return format_html("{}", sentence)
    return format_html("{} Not before {}.", sentence, moment(step.at))
