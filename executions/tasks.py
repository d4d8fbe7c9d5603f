"""The tasks of this app. A task has no arguments: it processes all due rows."""

from __future__ import annotations

from executions import inbox


def read_deliveries() -> None:
    inbox.process_due()
