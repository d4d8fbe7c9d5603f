"""Benchmark of reporting redemptions in batches. Floor: the calls alone."""

from __future__ import annotations

from django.db.models.functions import Now

from bench.activating import activate_all
from bench.collecting import collect
from bench.stage import Measured, Stage, seconds
from promoportal.optimove import Promotions
from redemptions import reporting
from redemptions.models import Redemption, RedemptionState


def measure(stage: Stage, size: int) -> Measured:
    collect(stage, size)
    activate_all()
    Redemption.objects.update(not_before=Now())
    count = Redemption.objects.filter(state=RedemptionState.WAITING).count()
    work = seconds(_report_all)
    floor = seconds(_repeat)
    return Measured("redemptions", count, work, floor, "the same calls, nothing kept")


def _report_all() -> None:
    while Redemption.objects.filter(state=RedemptionState.WAITING).exists():
        reporting.report()


def _repeat() -> None:
    """Send the redemptions again in batches; the sandbox counts none of them twice."""
    rows = Redemption.objects.select_related(
        "assignment__execution", "assignment__promotion"
    )
    records = [reporting.vendor_record(row) for row in rows]
    with Promotions.from_settings() as client:
        for start in range(0, len(records), client.batch_limit):
            client.report_batch(records[start : start + client.batch_limit])
