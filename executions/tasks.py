"""What the queue can run of this room. Every job is a wake-up: the rows say what to do."""

from __future__ import annotations

from executions import inbox


def read_deliveries() -> None:
    inbox.process_due()
