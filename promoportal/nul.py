"""
The one character that PostgreSQL keeps nowhere, where a browser never sends it.

What an address holds of it, pages answer in words. A cookie that holds it was made by
hand, and the database is not asked for it.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

NUL = "\0"

Respond = Callable[[HttpRequest], HttpResponse]


def without_nul(respond: Respond) -> Respond:
    """Forget cookies that hold it."""

    def answer(request: HttpRequest) -> HttpResponse:
        request.COOKIES = {
            name: value for name, value in request.COOKIES.items() if NUL not in value
        }
        return respond(request)

    return answer
