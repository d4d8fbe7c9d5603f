"""Pages of bulk retries: the form to begin a bulk retry, its progress, its results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from promoportal.admin import list_columns
from promoportal.admin.actions import Action, Actions, ReasonForm, each_row
from promoportal.admin.alerts import Alert
from promoportal.admin.audit_log import AuditKind
from promoportal.admin.links import link, list_of, page_of
from promoportal.admin.list_columns import computed, link_to, numbered, when
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.panels import Fact, Panel
from promoportal.admin.posted_form import PostedForm
from promoportal.admin.related_filters import narrowed, narrowed_by
from rewards import bulk_retry
from rewards.admin import bulk_retry_preview
from rewards.admin.bulk_retry_preview import Preview
from rewards.bulk_retry import Figures
from rewards.confirmed_moment import ConfirmedMoment, this_moment
from rewards.models import Assignment, Retrial, RetrialState, Retried

_LABEL = "Retry all matching"
_PERMISSION = "rewards.retry_assignment"


class RetryAllForm(ReasonForm):
    """
    A form for the reason, with what its page shows, and an ID for repeated forms.

    `newest` and `at` say up to when its page showed rows, and `figures` what it showed.
    """

    form = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)
    newest = forms.IntegerField(widget=forms.HiddenInput, min_value=0)
    at = forms.CharField(widget=forms.HiddenInput, max_length=40)
    figures = forms.CharField(widget=forms.HiddenInput, max_length=500)

    def clean_at(self) -> datetime:
        """Return the time exactly: a date field of a form would shorten it."""
        with suppress(ValueError):
            at = datetime.fromisoformat(self.cleaned_data["at"])
            if at.tzinfo:
                return at
        raise forms.ValidationError("The time is invalid.")

    def show(self, moment: ConfirmedMoment, figures: str) -> None:
        """Set what the page shows, instead of what an earlier page showed."""
        shown = {"newest": moment.newest, "at": moment.at.isoformat()}
        shown["figures"] = figures
        self.initial = {**self.initial, **shown}
        if self.is_bound:
            data = QueryDict(mutable=True)
            data.update(self.data)
            for name, value in shown.items():
                data[name] = str(value)
            self.data = data


def answer(posted: PostedForm) -> HttpResponse:
    """
    Show the preview of a bulk retry of all matching rows, or begin the bulk retry.

    :raises Refused: if the user lacks the permission
    """
    request = posted.request
    if not request.user.has_perm(_PERMISSION):
        raise posted.refusal(_LABEL, _PERMISSION)
    changes = posted.change_list()
    rows = changes.get_queryset(request)
    if rows.query.is_empty():
        return posted.go_back("Nothing was done: the list says why.")
    form = RetryAllForm(posted.data if "why" in posted.data else None)
    # The moment first: what changes while the preview is read counts as changed since.
    moment = this_moment()
    preview = bulk_retry_preview.preview(rows, request.GET.dict())
    if form.is_valid():
        narrowed = ", ".join(changes.narrowed)
        retrial = _begin(rows, posted, narrowed, preview, form.cleaned_data)
        return HttpResponseRedirect(page_of(retrial))
    form.show(moment, preview.figures)
    context = {
        **posted.model_admin.admin_site.each_context(request),
        "opts": posted.model_admin.opts,
        "title": _LABEL,
        "cl": changes,
        "narrowed": changes.narrowed,
        "preview": preview,
        "form": form,
        "back": request.get_full_path(),
    }
    return TemplateResponse(request, "admin/bulk_retry.html", context)


def _begin(
    rows: QuerySet[Assignment],
    posted: PostedForm,
    narrowed: str,
    preview: Preview,
    said: Mapping[str, Any],
) -> Retrial:
    """Begin a bulk retry and record it in the audit log, only once for each form."""
    by, form, why = posted.request.user, said["form"], said["why"]
    confirmed = ConfirmedMoment(said["newest"], said["at"])
    figures = Figures(confirmed, said["figures"], preview.figures)
    with transaction.atomic():
        is_new = not Retrial.objects.filter(form=form).exists()
        retrial = bulk_retry.begin(
            rows, form=form, narrowed=narrowed, by=by, why=why, figures=figures
        )
        if is_new:
            where = narrowed or "all of them"
            entry = f"{_LABEL}: {why} ({retrial.total:,} chosen: {where})"
            posted.record(AuditKind.DONE_TO_ALL, entry, retrial)
    return retrial


def _may(*states: RetrialState) -> Any:
    return lambda row: row.state in states


def _progress(row: Retrial) -> str:
    return f"{row.done + row.left_alone:,} of {row.total:,}"


@admin.register(Retrial)
class RetrialAdmin(PortalAdmin):
    list_display = (
        *("identity", list_columns.state_and_since, "person", "said", "how_far"),
    )
    list_select_related = ("by",)
    list_filter = ("state",)
    alerts = (
        Alert(
            "paused",
            "Bulk retries are paused until staff resume them",
            "Bulk retry is paused until staff resume it",
            lambda: Q(state=RetrialState.PAUSED),
        ),
    )
    fields = ("person", "said", "of_which", "begun")
    identity = numbered("retrial")
    person = computed("by", lambda row: str(row.by))
    said = computed("why", lambda row: row.why)
    of_which = computed("all that match", lambda row: row.narrowed or "(all of them)")
    how_far = computed("how far it is", _progress)
    begun = when("created_at", "begun")
    offered = Actions(
        (
            Action(
                "pause",
                "Pause",
                _PERMISSION,
                each_row(bulk_retry.pause, "it is not under way"),
                said=("is paused", "are paused"),
                fits=_may(RetrialState.RUNNING),
            ),
            Action(
                "resume",
                "Resume",
                _PERMISSION,
                each_row(bulk_retry.resume, "it is not paused"),
                said=("goes on", "go on"),
                fits=_may(RetrialState.PAUSED),
            ),
            Action(
                "cancel",
                "Cancel remaining",
                _PERMISSION,
                each_row(bulk_retry.cancel, "it is over"),
                said=("is cancelled", "are cancelled"),
                warning="What was tried again stays so; the rest is left as it is.",
                fits=_may(RetrialState.RUNNING, RetrialState.PAUSED),
            ),
        )
    )

    def heading(self, row: Retrial) -> str:
        return f"{row.total:,} tried again"

    def panels(self, row: Retrial) -> Iterable[Panel]:
        every = list_of(Retried, retrial=row.pk)
        yield Panel(
            "How far it is",
            "progress",
            facts=[
                Fact("chosen", f"{row.total:,}", every, "main"),
                Fact("owed again", f"{row.done:,}", _list(row, "no"), "main"),
                Fact("left alone", f"{row.left_alone:,}", _list(row, "yes"), "main"),
            ],
            sentences=[_bar(row), *_other_figures(row)],
            is_wide=True,
            is_live=row.state == RetrialState.RUNNING,
        )


def _other_figures(row: Retrial) -> list[str]:
    """Return a sentence if the figures changed between confirmation and start."""
    if row.confirmed_as == row.begun_as:
        return []
    figures = f"You confirmed: {row.confirmed_as}. When it began: {row.begun_as}."
    return [f"{figures} What was listed or changed after you confirmed is left alone."]


def _list(row: Retrial, left_alone: str) -> str:
    return list_of(Retried, retrial=row.pk, left_alone=left_alone)


def _bar(row: Retrial) -> SafeString:
    return format_html(
        '<progress max="{}" value="{}" aria-label="How far it is"></progress> {}',
        max(row.total, 1),
        row.done + row.left_alone if row.total else 1,
        _progress(row),
    )


@admin.register(Retried)
class RetriedAdmin(PortalAdmin):
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
    assignment_link = link_to("assignment")

    @admin.display(description="assignment")
    def identity(self, row: Retried) -> str:
        return f"{row.assignment.customer}: {row.assignment.reference}"

    @admin.display(description="retrial")
    def retrial_link(self, row: Retried) -> SafeString:
        return link(row.retrial, f"Retrial {row.retrial_id}")

    @admin.display(description="what became of it")
    def outcome(self, row: Retried) -> str:
        return f"Left alone: {row.left_alone}" if row.left_alone else "Owed again"
