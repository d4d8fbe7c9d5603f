"""Pages of trying again all that match a list: what it would do, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from promoportal.admin import audit_log
from promoportal.admin.actions import Action, each_row
from promoportal.admin.links import link, list_of
from promoportal.admin.list_columns import when
from promoportal.admin.model_admin import ReadOnlyAdmin
from promoportal.admin.panels import Fact, Panel
from promoportal.admin.related_filters import narrowed, narrowed_by
from promoportal.admin.stateful_admin import StatefulAdmin
from promoportal.runtime.client_address import client_address
from rewards import bulk_retry
from rewards.models import Assignment, Retrial, RetrialState, Retried


class RetryAllForm(forms.Form):
    """The reason, and what tells a second press from a second wish."""

    why = forms.CharField(
        max_length=500,
        error_messages={"required": "Say why; the reason is kept with every row."},
        widget=forms.TextInput(
            {"placeholder": "The reason, kept with every row", "autocomplete": "off"}
        ),
    )
    form = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)


def begin(
    rows: QuerySet[Assignment],
    said: dict[str, Any],
    request: HttpRequest,
    *,
    narrowed: str,
) -> Retrial:
    """
    Begin it once, however often the form is sent, with one entry in the log; both say
    how the list was `narrowed`, in its own words.
    """
    form: UUID = said["form"]
    with transaction.atomic():
        is_new = not Retrial.objects.filter(form=form).exists()
        retrial = bulk_retry.begin(
            rows, form=form, narrowed=narrowed, by=request.user, why=said["why"]
        )
        if is_new:
            _log(retrial, request)
    return retrial


def _log(row: Retrial, request: HttpRequest) -> None:
    where = row.narrowed or "all of them"
    said = f"Try again all that match: {row.why} ({row.total:,} chosen: {where})"
    audit_log.record(
        audit_log.AuditKind.DONE_TO_ALL,
        said,
        by=request.user,
        about=[row],
        address=client_address(request.META),
    )


def _may(state: RetrialState, row: Retrial) -> bool:
    return row.state == state


@admin.register(Retrial)
class RetrialAdmin(StatefulAdmin[Retrial]):
    list_display = ("identity", "standing", "person", "said", "how_far")
    list_select_related = ("by",)
    list_filter = ("state",)
    fields = ("person", "said", "of_which", "begun")
    begun = when("created_at", "begun")
    deeds = (
        Action(
            "pause",
            "Pause",
            "rewards.retry_assignment",
            each_row(bulk_retry.pause, "it is not under way"),
            said=("is paused", "are paused"),
            fits=partial(_may, RetrialState.RUNNING),
        ),
        Action(
            "resume",
            "Resume",
            "rewards.retry_assignment",
            each_row(bulk_retry.resume, "it is not paused"),
            said=("goes on", "go on"),
            fits=partial(_may, RetrialState.PAUSED),
        ),
        Action(
            "cancel",
            "Cancel the rest",
            "rewards.retry_assignment",
            each_row(bulk_retry.cancel, "it is over"),
            said=("is cancelled", "are cancelled"),
            warning="What was tried again stays so; the rest is left as it is.",
            fits=lambda row: row.state in {RetrialState.RUNNING, RetrialState.PAUSED},
        ),
    )

    @admin.display(description="retrial")
    def identity(self, row: Retrial) -> str:
        return f"Retrial {row.pk}"

    @admin.display(description="by")
    def person(self, row: Retrial) -> str:
        return str(row.by)

    @admin.display(description="why")
    def said(self, row: Retrial) -> str:
        return row.why

    @admin.display(description="all that match")
    def of_which(self, row: Retrial) -> str:
        return row.narrowed or "(all of them)"

    @admin.display(description="how far it is")
    def how_far(self, row: Retrial) -> str:
        return f"{row.done + row.left_alone:,} of {row.total:,}"

    def heading(self, row: Retrial) -> str:
        return f"{row.total:,} tried again"

    def panels(self, row: Retrial) -> Iterable[Panel]:
        every = {"retrial": row.pk}
        yield Panel(
            "How far it is",
            "progress",
            facts=[
                Fact("chosen", f"{row.total:,}", list_of(Retried, **every), "main"),
                Fact("owed again", f"{row.done:,}", _list(row, "no"), "main"),
                Fact("left alone", f"{row.left_alone:,}", _list(row, "yes"), "main"),
            ],
            sentences=[_bar(row)],
            is_wide=True,
            is_live=row.state == RetrialState.RUNNING,
        )


def _list(row: Retrial, left_alone: str) -> str:
    return list_of(Retried, retrial=row.pk, left_alone=left_alone)


def _bar(row: Retrial) -> SafeString:
    over = row.done + row.left_alone
    return format_html(
        '<progress max="{}" value="{}" aria-label="How far it is"></progress> {}',
        max(row.total, 1),
        over if row.total else 1,
        f"{over:,} of {row.total:,}",
    )


@admin.register(Retried)
class RetriedAdmin(ReadOnlyAdmin[Retried]):
    list_display = ("identity", "outcome")
    list_select_related = ("assignment",)
    list_filter = (
        narrowed("retrial", Retrial),
        narrowed_by(
            "left_alone",
            "whether it was left alone",
            {
                "no": ("Owed again", Q(left_alone="")),
                "yes": ("Left alone", ~Q(left_alone="")),
            },
        ),
    )
    fields = ("assignment_link", "retrial_link", "outcome")

    @admin.display(description="assignment")
    def identity(self, row: Retried) -> str:
        return f"{row.assignment.customer}: {row.assignment.reference}"

    @admin.display(description="assignment")
    def assignment_link(self, row: Retried) -> SafeString:
        return link(row.assignment)

    @admin.display(description="retrial")
    def retrial_link(self, row: Retried) -> SafeString:
        return link(row.retrial, f"Retrial {row.retrial_id}")

    @admin.display(description="what became of it")
    def outcome(self, row: Retried) -> str:
        return f"Left alone: {row.left_alone}" if row.left_alone else "Owed again"
