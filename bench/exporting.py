"""A list taken along as CSV, against COPY of the same columns; and the memory it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from bench import filling
from bench.clusters import database_url
from bench.stage import Measured, Stage, seconds
from promoportal.admin.links import list_of
from rewards.models import Assignment

# Over so few, and over as many as are asked for: the peak must be the same.
FEW = 10_000
_USER = "exporting"
_BARE = """
    COPY (
        SELECT a.customer, e.reference, p.reference, a.reference, a.value, a.unit,
            a.state, a.state_since, a.reason, a.doubtful, a.assigned_at,
            a.first_sent_at, a.receipt
        FROM rewards_assignment a JOIN executions_execution e ON e.id = a.execution_id
        LEFT JOIN rewards_promotion p ON p.id = a.promotion_id ORDER BY a.id DESC
    ) TO STDOUT WITH (FORMAT csv)
"""


def measure(_stage: Stage, size: int) -> Measured:
    User.objects.create_superuser(_USER)
    few, many = _over(FEW), _over(size)
    print(  # noqa: T201 - it is what it says
        f"exporting: the process took {few['peak']:.1f} MB at most for {FEW:,} rows, and"
        f" {many['peak']:.1f} MB for {size:,}.",
        file=sys.stderr,
    )
    floor = seconds(_copy)
    return Measured("rows", size, many["seconds"], floor, "COPY")


def stream() -> None:
    """Serve the whole list, and say how long that took, and how much memory."""
    settings.DEBUG = False  # which keeps every query
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(User.objects.get(username=_USER))
    answer: Any = client.post(list_of(Assignment), {"export": "csv"})
    lines = 0

    def read() -> None:
        nonlocal lines
        for part in answer.streaming_content:
            lines += part.count(b"\n")

    took = seconds(read)
    said = {"lines": lines, "seconds": took, "peak": _peak()}
    print(json.dumps(said))  # noqa: T201 - for whoever started this process


def _peak() -> float:
    """
    The most memory this process had, in MB, as Linux tells it.

    Not `ru_maxrss`: that begins with what whoever started the process had.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _over(count: int) -> dict[str, float]:
    """What a process of its own says that serves so many."""
    filling.hold(count)
    done = subprocess.run(
        [
            *(sys.executable, str(settings.BASE_DIR / "manage.py")),
            *("shell", "--no-imports", "-c"),
            "from bench.exporting import stream; stream()",
        ],
        env=os.environ | {"DATABASE_URL": database_url()},
        stdout=subprocess.PIPE,
        check=True,
    )
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert said["lines"] == count + 1
    return said


def _copy() -> None:
    with connection.cursor() as cursor, cursor.copy(_BARE) as copy:
        for _ in copy:
            pass
