"""Cookies that no browser has from us: forgotten before anything is asked by them."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

Respond = Callable[[HttpRequest], HttpResponse]


def readable(respond: Respond) -> Respond:
    """Forget what holds a NUL: the database could not be asked for such a session."""

    def answer(request: HttpRequest) -> HttpResponse:
        request.COOKIES = {
            name: value for name, value in request.COOKIES.items() if "\0" not in value
        }
        return respond(request)

    return answer
