"""Benchmark of storing assignments. Floor: COPY of the same rows as JSON."""

from __future__ import annotations

import json

from django.db import connection

from bench.stage import Measured, Stage, seconds
from executions.lifecycle import open_execution
from promoportal.optimove import Page, Promotions
from promoportal.optimove.throttle import Throttled
from rewards.collection import fetch_runs, ingest
from rewards.models import Assignment


def measure(stage: Stage, size: int) -> Measured:
    occurrence, pages = _listed(stage, size)
    work = seconds(lambda: _store(occurrence, pages))
    assert Assignment.objects.filter(execution__reference=occurrence).count() == size
    floor = seconds(lambda: _copy(pages))
    return Measured("assignments", size, work, floor, "COPY")


def collect(stage: Stage, size: int) -> None:
    """Create an execution with `size` assignments from the sandbox."""
    _store(*_listed(stage, size))


def _listed(stage: Stage, size: int) -> tuple[str, list[Page]]:
    ordered = stage.sandbox.order("execute", customers=size, announce=False)
    occurrence = str(ordered["occurrence"])
    return occurrence, _pages(occurrence)


def _pages(occurrence: str) -> list[Page]:
    """Fetch all pages before the measurement, which must not include these calls."""
    pages: list[Page] = []
    with Promotions.from_settings() as client:
        while not pages or pages[-1].next_cursor:
            cursor = pages[-1].next_cursor if pages else None
            pages.append(client.assignments(occurrence, cursor=cursor))
    return pages


def _store(occurrence: str, pages: list[Page]) -> None:
    execution = open_execution(occurrence)
    with fetch_runs.acquired(execution.pk) as collection:
        if collection is None:
            raise Throttled
        fetch_runs.begin(collection)
        for page in pages:
            ingest.store(collection, page, fetch_runs.advance)
            collection.refresh_from_db(fields=["cursor"])


def _copy(pages: list[Page]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bare_rows (row jsonb)")
        with cursor.copy("COPY bare_rows FROM STDIN") as copy:
            for page in pages:
                for row in page.rows:
                    copy.write_row([json.dumps(row.raw)])
