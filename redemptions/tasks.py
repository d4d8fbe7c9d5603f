"""The jobs of this package. A job has no arguments: the rows determine the work."""

from __future__ import annotations

from redemptions import reporting


def report() -> None:
    reporting.report()
