"""Benchmark of a CSV export and its memory. Floor: COPY of the same columns."""

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
from bench.clusters import MANAGE, database_url
from bench.stage import Measured, Stage, seconds
from promoportal.admin.links import list_of
from rewards.models import Assignment

# Rows of a small export. Its peak memory should be that of a large export.
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
    print(  # noqa: T201 - the output
        f"exporting: the process took {few['peak']:.1f} MB at most for {FEW:,} rows, and"
        f" {many['peak']:.1f} MB for {size:,}.",
        file=sys.stderr,
    )
    floor = seconds(_copy)
    return Measured("rows", size, many["seconds"], floor, "COPY")


def stream() -> None:
    """Export the whole list, and print the lines, the seconds and the peak memory."""
    settings.DEBUG = False  # DEBUG keeps every query in memory
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(User.objects.get(username=_USER))
    answer: Any = client.post(list_of(Assignment), {"export": "csv"})
    lines = 0

    def read() -> None:
        nonlocal lines
        for part in answer.streaming_content:
            lines += part.count(b"\n")

    took = seconds(read)
    result = {"lines": lines, "seconds": took, "peak": _peak()}
    print(json.dumps(result))  # noqa: T201 - for the parent process


def _peak() -> float:
    """
    Return the peak memory of this process in MiB, as Linux counts it.

    `ru_maxrss` would be wrong: it starts with the memory of the parent process.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _over(count: int) -> dict[str, float]:
    """Create `count` rows, and return the output of a process that exports them."""
    filling.fill_held(count)
    done = subprocess.run(
        [
            *MANAGE,
            "shell",
            "--no-imports",
            "-c",
            "from bench.exporting import stream; stream()",
        ],
        env=os.environ | {"DATABASE_URL": database_url()},
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert result["lines"] == count + 1
    return result


def _copy() -> None:
    with connection.cursor() as cursor, cursor.copy(_BARE) as copy:
        for _ in copy:
            pass
