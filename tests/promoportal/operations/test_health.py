"""The readiness probe."""

from __future__ import annotations

import pytest
from django.test import Client

from promoportal import pipeline
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.database_identity import Continuity


def readiness() -> tuple[int, str]:
    answer = Client().get("/readyz")
    return answer.status_code, answer.json()["status"]


def test_the_portal_is_ready_while_the_scheduler_runs(db: None) -> None:
    for sweep in pipeline.SWEEPS:
        sweep()

    assert readiness() == (200, "ok")


@pytest.mark.parametrize(
    ("minutes", "said"), [(4, "ok"), (6, "no tick for five minutes")]
)
def test_a_stopped_scheduler_is_reported_and_the_portal_stays_ready(
    db: None, minutes: int, said: str
) -> None:
    Continuity.objects.create(
        pk=1, database="here", seen_at=seconds_from_now(-60 * minutes)
    )

    assert readiness() == (200, said)
