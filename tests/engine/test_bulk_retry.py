"""Thousands are tried again while their workers are killed: all of them, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

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
from tests.engine.conftest import put_down
from tests.engine.processes import until
from tests.staff_client import Desk

PARTS = 4
ROWS = PARTS * bulk_retry.PART
IN_DOUBT = ROWS // 50
WHY_NOT = "in doubt: say first whether it was given"


def test_all_that_match_are_tried_once_though_their_workers_are_killed_twice(
    transactional_db: None, environment: dict[str, str]
) -> None:
    filling.fill_held(ROWS)
    press()

    die_in_the_middle_of(part=1, environment=environment)
    die_in_the_middle_of(part=2, environment=environment)
    with workers(environment):
        until(lambda: not bulk_retry.is_due(), "all is done", seconds=40)

    retrial = Retrial.objects.get()
    assert (retrial.state, retrial.total) == (RetrialState.DONE, ROWS)
    assert (retrial.done, retrial.left_alone) == (ROWS - IN_DOUBT, IN_DOUBT)
    assert outcomes() == {"": ROWS - IN_DOUBT, WHY_NOT: IN_DOUBT}
    assert times_moved() == {1: ROWS - IN_DOUBT}
    assert Counter(Assignment.objects.values_list("state", "doubtful")) == {
        ("OWED", False): ROWS - IN_DOUBT,
        ("HELD", True): IN_DOUBT,
    }


def press() -> None:
    """Have all that are held tried again, as staff do."""
    desk = Desk(create_staff("support", Role.SUPPORT, "secret"))
    said = {"retry_all": "yes", "why": "Mended.", "form": str(uuid4())}
    answer = desk.client.post(list_of(Assignment, state__exact="HELD"), said)
    assert answer.status_code == 302, answer


def die_in_the_middle_of(*, part: int, environment: Mapping[str, str]) -> None:
    """Kill the workers while one of them waits for a row of that part."""
    with transaction.atomic():
        Assignment.objects.select_for_update().get(pk=part * bulk_retry.PART + 7)
        with workers(environment):
            until(is_waited_for, "a worker is in the middle of the part", seconds=40)
    assert over() == part * bulk_retry.PART
    assert bulk_retry.is_due()


@contextmanager
def workers(environment: Mapping[str, str]) -> Iterator[None]:
    """A real cluster, killed at the end, whatever it is at."""
    cluster = start_cluster("bulk", environment)
    try:
        yield
    finally:
        put_down(cluster)


def is_waited_for() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def over() -> int:
    retrial = Retrial.objects.get()
    return retrial.done + retrial.left_alone


def outcomes() -> Counter[str]:
    return Counter(Retried.objects.values_list("left_alone", flat=True))


def times_moved() -> Counter[int]:
    """How many rows moved so often."""
    moves = Counter(AssignmentTransition.objects.values_list("row", flat=True))
    return Counter(moves.values())
