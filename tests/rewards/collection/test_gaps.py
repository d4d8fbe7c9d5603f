"""Rows that are listed after a restore or a failover: which may have been sent before?"""

from __future__ import annotations

import pytest

from promoportal.db.database_clock import seconds_from_now
from promoportal.db.database_identity import Continuity
from promoportal.operations import restored_backup
from promoportal.optimove import Promotions
from rewards.collection import fetch_runs, ingest
from tests.promoportal.db.second_connection import elsewhere, patiently, waits
from tests.world import World


def fail_over() -> None:
    """Make the database another one than that on which the portal ran."""
    restored_backup.detect_restore()
    Continuity.objects.update(database="elsewhere", seen_at=seconds_from_now(-60))


# --- Storing while rows are marked ----------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_page_stored_while_rows_are_marked_is_marked_too(world: World) -> None:
    world.box.assign("7311", "C1")
    execution = world.open("7311")
    fail_over()

    with elsewhere() as worker, elsewhere() as scheduler:
        worker.begin()
        worker.do(lambda: fetch(execution.pk))
        marked = scheduler.start(restored_backup.detect_restore)
        waited = waits(marked)
        worker.commit()
        patiently(marked)

    assert world.assignment("C1").doubtful
    assert waited


@pytest.mark.django_db(transaction=True)
def test_a_page_stored_after_rows_are_marked_knows_the_gap(world: World) -> None:
    world.box.assign("7311", "C1")
    execution = world.open("7311")
    fail_over()

    with elsewhere() as worker, elsewhere() as scheduler:
        scheduler.begin()
        scheduler.do(restored_backup.detect_restore)
        stored = worker.start(lambda: fetch(execution.pk))
        waited = waits(stored)
        scheduler.commit()
        patiently(stored)

    assert world.assignment("C1").doubtful
    assert waited


def fetch(execution_pk: int) -> None:
    with (
        Promotions.from_settings() as client,
        fetch_runs.acquired(execution_pk) as collection,
    ):
        assert collection is not None
        fetch_runs.begin(collection)
        page = client.assignments(collection.execution.reference, cursor=None)
        ingest.store(collection, page, fetch_runs.advance)
