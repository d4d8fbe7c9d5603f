"""
The one character that PostgreSQL keeps nowhere, where a browser never sends it.

What pages ask themselves they answer in words; an address or a cookie that holds it was
made by hand, and the database is not asked for it.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest

NUL = "\0"
_SAID = "The address holds a character that no id and no name has."

Respond = Callable[[HttpRequest], HttpResponse]


def without_nul(respond: Respond) -> Respond:
    """Refuse addresses that hold it, and forget cookies that do."""

    def answer(request: HttpRequest) -> HttpResponse:
        if NUL in request.path:
            return HttpResponseBadRequest(_SAID, content_type="text/plain")
        request.COOKIES = {
            name: value for name, value in request.COOKIES.items() if NUL not in value
        }
        return respond(request)

    return answer
