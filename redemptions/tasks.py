"""The tasks of this app. A task has no arguments: it processes all due rows."""

from __future__ import annotations

from redemptions import reporting


def report() -> None:
    reporting.report()
