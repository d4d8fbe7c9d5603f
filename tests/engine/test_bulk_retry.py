"""A bulk retry of thousands of rows while workers are killed retries each row once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.db import connection, transaction

from bench import filling
from bench.clusters import start_cluster
from promoportal.admin.links import list_of
from promoportal.admin.roles import Role, create_staff
from rewards import bulk_retry
from rewards.models import (
    Assignment,
    AssignmentTransition,
    Retrial,
    RetrialState,
    Retried,
)
from tests.engine.conftest import kill_family
from tests.engine.processes import until
from tests.staff_client import StaffClient, preview_form

PARTS = 4
ROWS = PARTS * bulk_retry.PART
DOUBTFUL = ROWS // 50
SKIPPED = "in doubt: say first whether it was given"


def test_all_matching_rows_are_retried_once_although_workers_are_killed_twice(
    transactional_db: None, environment: dict[str, str]
) -> None:
    filling.fill_held(ROWS)
    start_bulk_retry()

    kill_workers_during(part=1, environment=environment)
    kill_workers_during(part=2, environment=environment)
    with workers(environment):
        until(lambda: not bulk_retry.is_due(), "all is done", seconds=40)

    retrial = Retrial.objects.get()
    assert (retrial.state, retrial.total) == (RetrialState.DONE, ROWS)
    assert (retrial.done, retrial.left_alone) == (ROWS - DOUBTFUL, DOUBTFUL)
    assert outcomes() == {"": ROWS - DOUBTFUL, SKIPPED: DOUBTFUL}
    assert times_moved() == {1: ROWS - DOUBTFUL}
    assert Counter(Assignment.objects.values_list("state", "doubtful")) == {
        ("OWED", False): ROWS - DOUBTFUL,
        ("HELD", True): DOUBTFUL,
    }


def start_bulk_retry() -> None:
    """Start a bulk retry of all rows in `HELD`, as staff do."""
    staff = StaffClient(create_staff("support", Role.SUPPORT, "secret"))
    held = list_of(Assignment, state__exact="HELD")
    form = preview_form(staff, held) | {"why": "Mended."}
    answer = staff.client.post(held, form)
    assert answer.status_code == 302, answer


def kill_workers_during(*, part: int, environment: Mapping[str, str]) -> None:
    """Kill the workers while one of them waits for a row of that part."""
    with transaction.atomic():
        Assignment.objects.select_for_update().get(pk=part * bulk_retry.PART + 7)
        with workers(environment):
            until(is_lock_awaited, "a worker is in the middle of the part", seconds=40)
    assert processed() == part * bulk_retry.PART
    assert bulk_retry.is_due()


@contextmanager
def workers(environment: Mapping[str, str]) -> Iterator[None]:
    """Run a real cluster, which is killed at the end, whatever it does."""
    cluster = start_cluster("bulk", environment)
    try:
        yield
    finally:
        kill_family(cluster)


def is_lock_awaited() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def processed() -> int:
    retrial = Retrial.objects.get()
    return retrial.done + retrial.left_alone


def outcomes() -> Counter[str]:
    return Counter(Retried.objects.values_list("left_alone", flat=True))


def times_moved() -> Counter[int]:
    """Return the number of rows by the number of their moves."""
    moves = Counter(AssignmentTransition.objects.values_list("row", flat=True))
    return Counter(moves.values())
