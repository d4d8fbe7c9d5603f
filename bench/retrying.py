"""Trying all again that match a list, its workers killed twice, against bare moves."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

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

# How much is done when the workers are killed.
_KILLS = (0.3, 0.6)
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
    asked = seconds(lambda: _press(client, retry_all="ask"))
    pressed = seconds(
        lambda: _press(client, retry_all="yes", why="Mended.", form=str(uuid4()))
    )
    work = pressed + seconds(_work)
    _tell(size, asked, pressed, work)
    return Measured("rows", size, work, floor, "the same moves in one statement")


def _fill(size: int) -> None:
    filling.hold(size)
    _execute("VACUUM ANALYZE")


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _press(client: Client, **said: str) -> None:
    answer: Any = client.post(list_of(Assignment, state__exact="HELD"), said)
    assert answer.status_code in {200, 302}, answer


def _work() -> None:
    """Until all is done, by one cluster after the other."""
    environment = os.environ | {"DATABASE_URL": database_url()}
    for share in (*_KILLS, 1.0):
        with ExitStack() as stack:
            cluster = start_cluster("bulk", environment)
            stack.callback(kill_cluster, cluster)
            while not _is_so_far(share):
                assert cluster.poll() is None, "The workers have ended."
                time.sleep(0.02)


def _is_so_far(share: float) -> bool:
    retrial = Retrial.objects.get()
    over = retrial.done + retrial.left_alone
    return retrial.state == RetrialState.DONE or (
        share < 1 and over >= share * retrial.total
    )


def _tell(size: int, asked: float, pressed: float, work: float) -> None:
    """What became of them, counted row by row."""
    over = Retried.objects.all()
    again, left = (
        over.filter(left_alone="").count(),
        over.exclude(left_alone="").count(),
    )
    moves = AssignmentTransition.objects.values("row").annotate(moves=Count("pk"))
    assert again + left == size == Retrial.objects.get().total
    assert moves.count() == again
    assert not moves.filter(moves__gt=1).exists()
    print(  # noqa: T201 - it is what it says
        f"retrying: {size:,} rows: {again:,} owed again + {left:,} left alone"
        f" = {again + left:,}; killed {len(_KILLS)} times; {work:.1f} s, "
        f"{size / work:,.0f} rows/s. Asking took {asked:.2f} s, pressing {pressed:.2f} s.",
        file=sys.stderr,
    )
