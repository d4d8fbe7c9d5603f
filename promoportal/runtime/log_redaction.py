"""A log filter that removes the secrets of listeners from every record."""

from __future__ import annotations

import logging
import re

_SECRET_IN_PATH = re.compile(r"(/webhooks/+optimove/+)[^/\s?\"'<>]+")
_FORMATTER = logging.Formatter()


class Redact(logging.Filter):
    """
    A filter that removes listener secrets from log records.

    Django logs the path of each 404, and attaches the request, which shows the path.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if (redacted := _redacted(message)) != message:
            record.msg, record.args = redacted, None
        _redact_trace(record)
        for name in vars(record).keys() - _STANDARD:
            value = str(getattr(record, name))
            if (redacted := _redacted(value)) != value:
                setattr(record, name, redacted)
        return True


# The attributes of every record. The caller has added all other attributes.
_STANDARD = vars(logging.makeLogRecord({})).keys()


def _redact_trace(record: logging.LogRecord) -> None:
    if record.exc_info:
        trace = _FORMATTER.formatException(record.exc_info)
        if (redacted := _redacted(trace)) != trace:
            record.exc_info, record.exc_text = None, redacted


def _redacted(text: str) -> str:
    return _SECRET_IN_PATH.sub(r"\1[secret]", text)
