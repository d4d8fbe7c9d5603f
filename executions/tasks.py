"""What the queue can run of this room. Every job is a wake-up: the rows say what to do."""

from __future__ import annotations

from executions import reading


def read_deliveries() -> None:
    reading.read_due()
