"""What the queue can run of this room. Every job is a wake-up: the rows say what to do."""

from __future__ import annotations

from redemptions import reporting


def report() -> None:
    reporting.report()
