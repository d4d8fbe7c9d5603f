"""The form on a row's page that sets the display name of the row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from promoportal.admin.audit_log import AuditKind
from promoportal.admin.formatting import smaller
from promoportal.admin.posted_form import PostedForm
from promoportal.db.display_names import MAX_LENGTH, Named, NoName, as_name


@dataclass(frozen=True)
class DisplayNameForm:
    """
    The form, and the permission that it requires.

    The user gives no reason, because a display name has no effect. The audit log
    contains the old name.
    """

    permission: str

    def context(self, user: Any) -> dict[str, Any]:
        return {"may_name": user.has_perm(self.permission), "longest_name": MAX_LENGTH}

    def answer(self, form: PostedForm) -> HttpResponse | None:
        """
        Set the name, or show why it is not set; return None for any other form.

        :raises Refused: if the user lacks the permission
        """
        if not {"naming", "name"} <= form.data.keys():
            return None
        if not form.request.user.has_perm(self.permission):
            raise form.refusal("Set name", self.permission)
        try:
            return form.go_back(_set_name(form), messages.SUCCESS)
        except NoName as error:
            return form.go_back(str(error))


def heading(row: Named) -> str:
    return row.name or f"{capfirst(row._meta.verbose_name)} {row.reference}"


def badges(row: Named) -> list[SafeString]:
    """Return the ID as a badge if the heading shows the display name instead."""
    return [smaller(row.reference)] if row.name else []


@transaction.atomic
def _set_name(form: PostedForm) -> str:
    row = _locked(form)
    before, row.name = row.name, as_name(form.data.get("name", ""))
    if row.name == before:
        raise NoName(f"Nothing was done: it {_phrase(before, 'is')} already.")
    row.save(update_fields=["name"])
    text = f"Set name: it {_phrase(before, 'was')}, and {_phrase(row.name, 'is')} now."
    form.record(AuditKind.DONE, text, row)
    return f"It {_phrase(row.name, 'is')} now."


def _locked(form: PostedForm) -> Named:
    row = form.row()
    if row is None:
        raise NoName("Nothing was done: choose what to name.")
    rows = form.model_admin.get_queryset(form.request)
    found: Named = rows.select_for_update(no_key=True).get(pk=row.pk)
    return found


def _phrase(name: str, verb: str) -> str:
    return f"{verb} called “{name}”" if name else f"{verb} without a name"
