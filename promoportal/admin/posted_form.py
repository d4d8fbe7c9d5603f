"""A form that staff post to the list of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils.http import url_has_allowed_host_and_scheme

from promoportal.admin import audit_log
from promoportal.admin.audit_log import AuditKind
from promoportal.admin.links import page_of
from promoportal.admin.permission_denied import Refused
from promoportal.admin.querysets import key_in
from promoportal.db import row_versions
from promoportal.runtime.client_address import client_address


@dataclass(frozen=True)
class PostedForm:
    """
    The data of a form, and the list to which it was posted.

    The data come from the request, or from a cookie that stored the form while the user
    logged in again.
    """

    model_admin: ModelAdmin[Any]
    request: HttpRequest
    data: QueryDict

    @property
    def address(self) -> str:
        """Return the network address from which the request came."""
        return client_address(self.request.META)

    @property
    def is_about_all(self) -> bool:
        """Return whether the form is about all matching rows, not only chosen rows."""
        return self.data.get("select_across") == "1"

    def change_list(self) -> Any:
        return self.model_admin.get_changelist_instance(self.request)

    def keys(self) -> list[int]:
        """Return the keys of the chosen rows, without invalid keys."""
        listed = self.data.get("keys", "").split(",")
        keys = map(key_in, [*self.data.getlist(ACTION_CHECKBOX_NAME), *listed])
        return [key for key in keys if key is not None]

    def seen(self) -> dict[int, str]:
        """Return the versions of rows that the form contains, by primary key."""
        return row_versions.decode(self.data.getlist("seen"))

    def rows(self) -> QuerySet[Any]:
        """Return the chosen rows that exist, or all rows that match the filters."""
        if self.is_about_all:
            rows: QuerySet[Any] = self.change_list().get_queryset(self.request)
            return rows
        return self.model_admin.get_queryset(self.request).filter(pk__in=self.keys())

    def row(self) -> Model | None:
        """Return the row whose page contained the form, or None."""
        key = unquote(self.data.get("page", ""))
        return self.model_admin.get_object(self.request, key)

    def return_address(self) -> str:
        """Return the address of the page that contained the form, or of the list."""
        back = self.data.get("back", "")
        if back.startswith("/") and url_has_allowed_host_and_scheme(back, None):
            return back
        row = self.row() if self.data.get("page") else None
        return page_of(row) if row else self.request.get_full_path()

    def record(self, kind: AuditKind, text: str, about: Model | str) -> None:
        """Store an audit entry about a row, or about rows under a common name."""
        audit_log.record(
            kind,
            text,
            by=self.request.user,
            about=[about],
            address=self.address,
            model=self.model_admin.model,
        )

    def go_back(self, message: str, level: int = messages.WARNING) -> HttpResponse:
        """Redirect to the page that contained the form, and show a message there."""
        messages.add_message(self.request, level, message)
        return HttpResponseRedirect(self.return_address())

    def refusal(self, what: str, permission: str) -> Refused:
        """Return the error for a missing permission, with the keys or the filters."""
        keys = [] if self.is_about_all else self.keys()
        if keys or self.request.method != "POST":
            return Refused(what, permission, keys=keys)
        changes = self.change_list()
        narrowed = ", ".join([*changes.narrowed, *changes.problems])
        return Refused(what, permission, narrowed=narrowed)
