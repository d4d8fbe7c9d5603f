"""
Forms that were posted after the session had ended: a signed cookie stores the form.

No action is performed without a session. After the user has logged in, the portal
checks the permission and asks for confirmation. The cookie expires after `FOR`. The
server has no table of such forms, because strangers could fill it.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.views import redirect_to_login
from django.core import signing
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse

from promoportal.admin.querysets import key_in
from promoportal.db import row_versions

COOKIE = "interrupted"
FOR = timedelta(minutes=15)
# Maximum bytes of the value: browsers reject a cookie of more than 4096 bytes.
_LARGEST = 3_500
_FIELDS = ("action", "why", "keys", "page", "back", ACTION_CHECKBOX_NAME)
_LOST = (
    "You were logged out meanwhile, so nothing was done, and what you chose or typed is "
    "not kept. Log in, and do it again."
)
_KEPT = (
    "You were logged out meanwhile, so nothing was done. Log in, and you are asked "
    "whether you still want it; what you chose is kept for some minutes."
)


def answer(request: HttpRequest) -> HttpResponse:
    """Redirect to the login page, and store the form in a cookie if possible."""
    path = request.get_full_path()
    response = redirect_to_login(path, reverse("admin:login"))
    cookie = _cookie_value(path, request.POST)
    if cookie:
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=FOR,
            path=reverse("admin:index"),
            secure=bool(settings.SESSION_COOKIE_SECURE),
            httponly=True,
            samesite="Lax",
        )
    messages.warning(request, _KEPT if cookie else _LOST)
    return response


def asked(request: HttpRequest) -> QueryDict | None:
    """Return the form that the cookie stores for this page, or None."""
    try:
        path, form = signing.loads(
            request.COOKIES.get(COOKIE, ""), salt=COOKIE, max_age=FOR
        )
    except signing.BadSignature:
        return None
    return QueryDict(form) if path == request.get_full_path() else None


def forget(answer: HttpResponse) -> None:
    answer.delete_cookie(COOKIE, path=reverse("admin:index"), samesite="Lax")


def _cookie_value(path: str, form: QueryDict) -> str:
    """Return the signed form, or an empty text if a cookie cannot store it."""
    fields = QueryDict(mutable=True)
    for name in _FIELDS:
        fields.setlist(name, form.getlist(name))
    fields["seen"] = row_versions.encode(_seen_of_chosen(form))
    if not form.get("action") or form.get("select_across") == "1":
        return ""
    value = signing.dumps([path, fields.urlencode()], salt=COOKIE, compress=True)
    return value if len(value) <= _LARGEST else ""


def _seen_of_chosen(form: QueryDict) -> dict[int, str]:
    """Return the versions of the chosen rows: a cookie cannot store a whole list's."""
    seen = row_versions.decode(form.getlist("seen"))
    chosen = [*form.getlist(ACTION_CHECKBOX_NAME), *form.get("keys", "").split(",")]
    return {key: seen[key] for key in map(key_in, chosen) if key in seen}
