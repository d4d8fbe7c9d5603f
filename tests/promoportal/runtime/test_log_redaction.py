"""Secrets are removed from every log record."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from django.test import RequestFactory
from django.urls import Resolver404, resolve
from pythonjsonlogger.json import JsonFormatter

from promoportal.runtime.log_redaction import Redact

PATH = "/webhooks/optimove/5eCr-3t_x/"


def line(message: str, *arguments: object, **more: Any) -> str:
    """Return the line that the portal's own handler writes."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(Redact())
    handler.setFormatter(JsonFormatter("%(message)s"))
    logger = logging.getLogger("django.request.tried")
    logger.addHandler(handler)
    logger.error(message, *arguments, **more)
    logger.removeHandler(handler)
    return written.getvalue()


def failed() -> BaseException:
    with pytest.raises(Resolver404) as caught:
        resolve(f"/nothing{PATH}")
    return caught.value


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda: line(f"Not Found: {PATH}"), id="in the message"),
        pytest.param(lambda: line("Not Found: %s", PATH), id="as an argument"),
        pytest.param(lambda: line("%s %r", "POST", f"{PATH}?x=1"), id="with a query"),
        pytest.param(lambda: line("Gone: %s", PATH[:-1]), id="without its slash"),
        pytest.param(lambda: line("X", extra={"path": PATH}), id="in an extra"),
        pytest.param(
            lambda: line("X", extra={"request": RequestFactory().post(PATH)}),
            id="as the request itself",
        ),
        pytest.param(lambda: line("X", exc_info=failed()), id="in a trace"),
        pytest.param(lambda: line("X", extra={"all": [{"at": PATH}]}), id="deeper"),
        pytest.param(lambda: line(f"{PATH} and {PATH}"), id="twice"),
        pytest.param(
            lambda: line(f"{PATH} {PATH.replace('/', '//')}"), id="with more slashes"
        ),
    ],
)
def test_no_secret_of_a_listener_is_logged(written: Any) -> None:
    found = written()

    assert "5eCr-3t_x" not in found
    assert "/webhooks/optimove/[secret]" in found


def test_a_line_without_secrets_is_not_changed() -> None:
    trace = line("delivery.kept %d%%", 100, extra={"delivery": 7}, exc_info=failed)

    assert '"delivery": 7' in trace
    assert "delivery.kept 100%" in trace


def test_every_handler_has_the_filter() -> None:
    """This includes Django's own handlers, which log the path of every 404."""
    named = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    handlers = [
        handler
        for logger in (logging.root, *named)
        for handler in logger.handlers
        if not type(handler).__module__.startswith("_pytest")
        and not isinstance(handler, logging.NullHandler)
    ]

    assert handlers
    assert all(
        any(isinstance(filter_, Redact) for filter_ in handler.filters)
        for handler in handlers
    )
