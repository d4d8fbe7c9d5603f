"""What probes are told."""

from __future__ import annotations

import pytest
from django.test import Client

from promoportal import pipeline
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.database_identity import Continuity


def readiness() -> tuple[int, str]:
    answer = Client().get("/readyz")
    return answer.status_code, answer.json()["status"]


def test_where_it_ticks_all_is_well(db: None) -> None:
    for sweep in pipeline.SWEEPS:
        sweep()

    assert readiness() == (200, "ok")


@pytest.mark.parametrize(
    ("minutes", "said"), [(4, "ok"), (6, "no tick for five minutes")]
)
def test_a_clock_that_stands_is_told_of_and_notices_are_taken_all_the_same(
    db: None, minutes: int, said: str
) -> None:
    Continuity.objects.create(
        pk=1, database="here", seen_at=seconds_from_now(-60 * minutes)
    )

    assert readiness() == (200, said)
