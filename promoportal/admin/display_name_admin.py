"""Rows that staff give a name: how they do it, and how they find one by it."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from promoportal.admin import audit_log
from promoportal.admin.formatting import called, smaller
from promoportal.admin.model_admin import ReadOnlyAdmin
from promoportal.db.display_names import MAX_LENGTH, Named, NoName, as_name
from promoportal.runtime.client_address import client_address

N = TypeVar("N", bound=Named)


class NamedAdmin(ReadOnlyAdmin[N]):
    """
    A list and pages of what is shown by its name first, and its id beside it.

    A name is no decision: it is given without a reason, and the log keeps what it was.
    """

    # Who may give one.
    naming: ClassVar[str]

    begins = ("name",)
    indexed = ("q",)
    change_form_template = "admin/display_name_detail.html"

    @admin.display(description="name and id")
    def called(self, row: N) -> SafeString:
        return called(row)

    def heading(self, row: N) -> str:
        return row.name or f"{capfirst(self.opts.verbose_name)} {row.reference}"

    def marks(self, row: N) -> list[SafeString]:
        return [smaller(row.reference)] if row.name else []

    def render_change_form(
        self, request: Any, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        may_name = request.user.has_perm(self.naming)
        context.update(may_name=may_name, longest_name=MAX_LENGTH)
        return super().render_change_form(request, context, *args, **kwargs)

    def posted(self, request: HttpRequest) -> HttpResponseBase | None:
        """Call a row so, or say why it is not."""
        if not {"naming", "name"} <= request.POST.keys():
            return super().posted(request)
        if not request.user.has_perm(self.naming):
            raise self.refused(request, "Name it", self.naming)
        try:
            said = self._name(request)
        except NoName as no:
            return self._back(request, str(no))
        return self._back(request, said, messages.SUCCESS)

    @transaction.atomic
    def _name(self, request: HttpRequest) -> str:
        row = self._locked(request)
        was, row.name = row.name, as_name(request.POST.get("name", ""))
        if row.name == was:
            raise NoName(f"Nothing was done: it {_told(was, 'is')} already.")
        row.save(update_fields=["name"])
        audit_log.record(
            audit_log.AuditKind.DONE,
            f"Name it: it {_told(was, 'was')}, and {_told(row.name, 'is')} now.",
            by=request.user,
            about=[row],
            address=client_address(request.META),
        )
        return f"It {_told(row.name, 'is')} now."

    def _locked(self, request: HttpRequest) -> N:
        """The row as it is, which nobody else names meanwhile."""
        row = self.get_object(request, unquote(request.POST.get("page", "")))
        if row is None:
            raise NoName("Nothing was done: choose what to name.")
        return self.get_queryset(request).select_for_update(no_key=True).get(pk=row.pk)


def _told(name: str, verb: str) -> str:
    return f"{verb} called “{name}”" if name else f"{verb} without a name"
