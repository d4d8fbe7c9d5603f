"""What must not reach a log, whoever wrote the line."""

from __future__ import annotations

import logging
import re

_SECRET_IN_PATH = re.compile(r"(/webhooks/+optimove/+)[^/\s?\"'<>]+")
_FORMATTER = logging.Formatter()


class Redact(logging.Filter):
    """
    Takes listener secrets out of a line: Django logs the path of every 404, and hands
    the request itself along, whose text has the path too.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if (redacted := _redacted(message)) != message:
            record.msg, record.args = redacted, None
        _redact_trace(record)
        for name in vars(record).keys() - _OWN:
            said = str(getattr(record, name))
            if (redacted := _redacted(said)) != said:
                setattr(record, name, redacted)
        return True


# What every record has; the rest was added by whoever wrote it.
_OWN = vars(logging.makeLogRecord({})).keys()


def _redact_trace(record: logging.LogRecord) -> None:
    if record.exc_info:
        trace = _FORMATTER.formatException(record.exc_info)
        if (redacted := _redacted(trace)) != trace:
            record.exc_info, record.exc_text = None, redacted


def _redacted(text: str) -> str:
    return _SECRET_IN_PATH.sub(r"\1[secret]", text)
