"""What must not reach a log, whoever wrote the line."""

from __future__ import annotations

import logging
import re

_SECRET_IN_PATH = re.compile(r"(/webhooks/optimove/)[^/\s?\"']+")


class Redact(logging.Filter):
    """Takes listener secrets out of paths: Django logs the path of every 404."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        redacted = _SECRET_IN_PATH.sub(r"\1[secret]", message)
        if redacted != message:
            record.msg, record.args = redacted, None
        return True
