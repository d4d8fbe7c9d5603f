"""
Requests without the required permission: refused, explained, and logged.

A refused POST gets one audit entry, after the transaction of its view was rolled back.
The entry contains the keys of the rows, or the filters and the search term of the list.
The search term can be a customer ID. The entry contains no other text from a form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from promoportal.admin import audit_log
from promoportal.admin.actions import count_of
from promoportal.admin.formatting import short
from promoportal.runtime.client_address import client_address

# Maximum number of row keys in an audit entry.
MAX_KEYS = 10
# Maximum length of filters, which a user may have typed into the address bar.
MAX_LENGTH = 300


class Refused(PermissionDenied):
    """A request for which the user lacks the permission."""

    def __init__(
        self,
        what: str,
        permission: str,
        *,
        keys: Sequence[int] = (),
        narrowed: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.permission = permission
        self.keys = keys
        self.narrowed = narrowed


def answer(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return a page with the roles that may do the action; log a refused POST."""
    refused = exception if isinstance(exception, Refused) else None
    is_logged = request.method == "POST" and request.user.is_authenticated
    if is_logged:
        _log(request, refused or Refused(f"Post to {request.path}", ""))
    context = {
        **admin.site.each_context(request),
        "title": "You may not do this" if is_logged else "This is not for you",
        "what": refused.what if refused else "",
        "who_may": _who_may(refused.permission) if refused else [],
        "is_kept": is_logged,
    }
    return render(request, "403.html", context, status=403)


def _log(request: HttpRequest, refused: Refused) -> None:
    of = getattr(
        request.resolver_match and request.resolver_match.func, "model_admin", None
    )
    audit_log.record(
        audit_log.AuditKind.REFUSED,
        f"Refused: {_description(refused)}",
        by=request.user,
        about=[_about(request, refused, of)],
        address=client_address(request.META),
        model=of.model if of else None,
    )


def _about(request: HttpRequest, refused: Refused, of: Any) -> Model | str:
    """Return what the audit entry is about: one row, a number of rows, or the list."""
    if of is None:
        return "the admin"
    keys: list[Any] = list(refused.keys)
    if request.resolver_match and "object_id" in request.resolver_match.kwargs:
        keys = [unquote(request.resolver_match.kwargs["object_id"])]
    row: Model | None = of.get_object(request, str(keys[0])) if len(keys) == 1 else None
    if row is not None:
        return row
    return count_of(len(keys), of.model) if keys else str(of.opts.verbose_name_plural)


def _description(refused: Refused) -> str:
    text = short(refused.what.replace("\0", ""), MAX_LENGTH)
    if len(refused.keys) > 1:
        more = len(refused.keys) - MAX_KEYS
        text += f": {', '.join(map(str, refused.keys[:MAX_KEYS]))}"
        text += f" and {more:,} more" if more > 0 else ""
    if refused.narrowed:
        text += f" (of those that match: {short(refused.narrowed, MAX_LENGTH)})"
    return text


def _who_may(permission: str) -> list[str]:
    app, _, name = permission.partition(".")
    groups = Group.objects.filter(
        permissions__codename=name, permissions__content_type__app_label=app
    )
    return list(groups.order_by("name").values_list("name", flat=True))
