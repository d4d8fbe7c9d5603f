"""Middleware against cookies with a NUL character, which PostgreSQL cannot look up."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

Respond = Callable[[HttpRequest], HttpResponse]


def readable(respond: Respond) -> Respond:
    """Drop cookies with a NUL: PostgreSQL rejects a query for such a session key."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.COOKIES = {
            name: value for name, value in request.COOKIES.items() if "\0" not in value
        }
        return respond(request)

    return middleware
