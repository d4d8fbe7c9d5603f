"""Benchmark of processing webhooks of triggered customers. Floor: bare INSERTs."""

from __future__ import annotations

import json

from django.db import connection

from bench.stage import Measured, Stage, seconds
from executions import inbox, listeners
from executions.models import Delivery


def measure(_stage: Stage, size: int) -> Measured:
    listener = listeners.open_listener(11).listener
    Delivery.objects.bulk_create(
        Delivery(listener=listener, body=_body(number), verdict={})
        for number in range(size)
    )
    work = seconds(_read_all)
    floor = seconds(lambda: _insert(size))
    return Measured("notices", size, work, floor, "one INSERT each")


def _body(number: int) -> bytes:
    return json.dumps({"campaignID": "7", "customerID": f"C{number}"}).encode()


def _read_all() -> None:
    while inbox.is_due():
        inbox.process_due()


def _insert(size: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bare_triggers (customer text PRIMARY KEY)")
        for number in range(size):
            cursor.execute("INSERT INTO bare_triggers VALUES (%s)", [f"C{number}"])
