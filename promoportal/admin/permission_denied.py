"""
What somebody asked for and may not do: refused, explained, and kept in the log.

It is kept when the answer is made, after whatever the request had begun was rolled back.
One entry for each request. Of what it carried there are the keys of rows, or what the
list was narrowed to: its filters, and what was searched for, be it a customer. Nothing
that was typed into a form.
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

# So many keys of rows that were asked for are kept.
MAX_KEYS = 10
# And so much of an address that somebody may have written by hand.
MAX_LENGTH = 300


class Refused(PermissionDenied):
    """Somebody asked for what they may not do."""

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
    """Say what was refused and who may; keep it if something was to be done."""
    refused = exception if isinstance(exception, Refused) else None
    is_kept = request.method == "POST" and request.user.is_authenticated
    if is_kept:
        _keep(request, refused or Refused(f"Post to {request.path}", ""))
    context = {
        **admin.site.each_context(request),
        "title": "You may not do this" if is_kept else "This is not for you",
        "what": refused.what if refused else "",
        "who_may": _who_may(refused.permission) if refused else [],
        "is_kept": is_kept,
    }
    return render(request, "403.html", context, status=403)


def _keep(request: HttpRequest, refused: Refused) -> None:
    of = getattr(
        request.resolver_match and request.resolver_match.func, "model_admin", None
    )
    audit_log.record(
        audit_log.AuditKind.REFUSED,
        f"Refused: {_said(refused)}",
        by=request.user,
        about=[_about(request, refused, of)],
        address=client_address(request.META),
        model=of.model if of else None,
    )


def _about(request: HttpRequest, refused: Refused, of: Any) -> Model | str:
    """The row, if it was one; else so many of them, or the list."""
    if of is None:
        return "the admin"
    keys: list[Any] = list(refused.keys)
    if request.resolver_match and "object_id" in request.resolver_match.kwargs:
        keys = [unquote(request.resolver_match.kwargs["object_id"])]
    row: Model | None = of.get_object(request, str(keys[0])) if len(keys) == 1 else None
    if row is not None:
        return row
    return count_of(len(keys), of.model) if keys else str(of.opts.verbose_name_plural)


def _said(refused: Refused) -> str:
    said = short(refused.what.replace("\0", ""), MAX_LENGTH)
    if len(refused.keys) > 1:
        more = len(refused.keys) - MAX_KEYS
        said += f": {', '.join(map(str, refused.keys[:MAX_KEYS]))}"
        said += f" and {more:,} more" if more > 0 else ""
    if refused.narrowed:
        said += f" (of those that match: {short(refused.narrowed, MAX_LENGTH)})"
    return said


def _who_may(permission: str) -> list[str]:
    """The roles that may, by name."""
    room, _, name = permission.partition(".")
    groups = Group.objects.filter(
        permissions__codename=name, permissions__content_type__app_label=room
    )
    return list(groups.order_by("name").values_list("name", flat=True))
