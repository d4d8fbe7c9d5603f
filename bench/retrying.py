"""Benchmark of a bulk retry with killed workers. Floor: the state changes in SQL."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Count
from django.test import Client

from bench import filling
from bench.clusters import database_url, kill_cluster, start_cluster
from bench.stage import Measured, Stage, seconds
from promoportal.admin.links import list_of
from rewards.models import (
    Assignment,
    AssignmentTransition,
    Retrial,
    RetrialState,
    Retried,
)

# The shares of the rows after which the workers are killed.
_KILLS = (0.3, 0.6)
# What the form of the preview says about its figures.
_SHOWN = ("newest", "at", "figures")
_BARE = """
    WITH moved AS (
        UPDATE rewards_assignment SET state = 'OWED', reason = '', problem = '',
            state_since = now(), not_before = now(), owed_since = now()
        WHERE state = 'HELD' AND NOT doubtful
        RETURNING id
    )
    INSERT INTO rewards_assignmenttransition (row_id, before, after, at, by_id, why)
    SELECT id, 'HELD', 'OWED', now(), NULL, 'Mended.' FROM moved
"""


def measure(_stage: Stage, size: int) -> Measured:
    _fill(size)
    floor = seconds(lambda: _execute(_BARE))
    _fill(size)
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(User.objects.create_superuser("retrying"))
    shown: list[Any] = []
    asked = seconds(lambda: shown.append(_submit(client, retry_all="ask")))
    form = shown[0].context_data["form"]
    said = {name: str(form[name].value()) for name in ("form", *_SHOWN)}
    submitted = seconds(lambda: _submit(client, retry_all="yes", why="Mended.", **said))
    work = submitted + seconds(_work)
    _check_and_print(size, asked, submitted, work)
    return Measured("rows", size, work, floor, "the same moves in one statement")


def _fill(size: int) -> None:
    filling.fill_held(size)
    _execute("VACUUM ANALYZE")


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _submit(client: Client, **fields: str) -> Any:
    answer: Any = client.post(list_of(Assignment, state__exact="HELD"), fields)
    assert answer.status_code in {200, 302}, answer
    return answer


def _work() -> None:
    """Process the bulk retry; kill the cluster at each share, and start another."""
    environment = os.environ | {"DATABASE_URL": database_url()}
    for share in (*_KILLS, 1.0):
        cluster = start_cluster("bulk", environment)
        try:
            while not _has_reached(share):
                assert cluster.poll() is None, "The workers have ended."
                time.sleep(0.02)
        finally:
            kill_cluster(cluster)


def _has_reached(share: float) -> bool:
    retrial = Retrial.objects.get()
    processed = retrial.done + retrial.left_alone
    return retrial.state == RetrialState.DONE or (
        share < 1 and processed >= share * retrial.total
    )


def _check_and_print(size: int, asked: float, submitted: float, work: float) -> None:
    """Check the results row by row, and print the rates."""
    retried = Retried.objects.filter(left_alone="").count()
    skipped = Retried.objects.exclude(left_alone="").count()
    moves = AssignmentTransition.objects.values("row").annotate(moves=Count("pk"))
    assert retried + skipped == size == Retrial.objects.get().total
    assert moves.count() == retried
    assert not moves.filter(moves__gt=1).exists()
    print(  # noqa: T201 - the output
        f"retrying: {size:,} rows: {retried:,} retried + {skipped:,} skipped"
        f" = {retried + skipped:,}; killed {len(_KILLS)} times; {work:.1f} s, "
        f"{size / work:,.0f} rows/s. Preview {asked:.2f} s, start {submitted:.2f} s.",
        file=sys.stderr,
    )
