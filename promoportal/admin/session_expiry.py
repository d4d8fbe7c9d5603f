"""
A session that ended while somebody filled in a form: what they chose is not lost.

Nothing is done without a session. What was asked for goes into a cookie of their own
browser, signed and for some minutes, and is asked about once they are logged in again;
to do it takes another press, by one who may. Kept here, strangers could fill our tables.
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

COOKIE = "interrupted"
FOR = timedelta(minutes=15)
# A browser keeps no cookie of more than 4096 bytes.
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
    """Send them to log in and back, with what they asked for if it can be kept."""
    here = request.get_full_path()
    back = redirect_to_login(here, reverse("admin:login"))
    kept = _kept(here, request.POST)
    if kept:
        back.set_cookie(
            COOKIE,
            kept,
            max_age=FOR,
            path=reverse("admin:index"),
            secure=bool(settings.SESSION_COOKIE_SECURE),
            httponly=True,
            samesite="Lax",
        )
    messages.warning(request, _KEPT if kept else _LOST)
    return back


def asked(request: HttpRequest) -> QueryDict | None:
    """What was asked for here before the session ended."""
    try:
        here, said = signing.loads(
            request.COOKIES.get(COOKIE, ""), salt=COOKIE, max_age=FOR
        )
    except signing.BadSignature:
        return None
    return QueryDict(said) if here == request.get_full_path() else None


def forget(answer: HttpResponse) -> None:
    answer.delete_cookie(COOKIE, path=reverse("admin:index"), samesite="Lax")


def _kept(here: str, said: QueryDict) -> str:
    """As a cookie holds it; nothing where it holds too little, or there is no action."""
    fields = QueryDict(mutable=True)
    for name in _FIELDS:
        fields.setlist(name, said.getlist(name))
    if not said.get("action") or said.get("select_across") == "1":
        return ""
    kept = signing.dumps([here, fields.urlencode()], salt=COOKIE, compress=True)
    return kept if len(kept) <= _LARGEST else ""
