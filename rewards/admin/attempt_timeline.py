"""Calls to the platform for an assignment, as entries of its timeline."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

from promoportal import platforms
from promoportal.admin.formatting import exchange, words
from promoportal.admin.timeline import Moment
from rewards import redaction
from rewards.models import Assignment, Attempt


def attempted(row: Assignment, attempt: Attempt) -> Moment:
    """Return the entry for one call, with its request, response and outcome."""
    outcome = attempt.get_outcome_display() if attempt.outcome else "Under way"
    status = f", HTTP {attempt.status}" if attempt.status else ""
    took = f", {attempt.duration_ms} ms" if attempt.duration_ms is not None else ""
    answer = redaction.redact_code(attempt.answer, row)
    none = "Nothing" if attempt.outcome else "Nothing yet"
    return Moment(
        at=attempt.begun_at,
        what=f"{attempt.get_kind_display()}, attempt {attempt.number}",
        why=f"{outcome}{status}{took}.",
        detail=exchange(_sent(row, attempt), words(answer, none)),
    )


def _sent(row: Assignment, attempt: Attempt) -> SafeString:
    if attempt.outcome == Attempt.Outcome.NOT_SENT or row.key is None:
        return SafeString("Nothing")
    call = platforms.asks(attempt.kind, row.key)
    line = format_html("<code>{}</code> ", call) if call else SafeString("")
    if attempt.kind == Attempt.Kind.LOOK_UP:
        return line or format_html("A question about the key <code>{}</code>", row.key)
    return format_html("{}The body above, under the key <code>{}</code>", line, row.key)
