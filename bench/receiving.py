"""Benchmark of receiving webhooks. Floor: bare INSERTs of the same bytes."""

from __future__ import annotations

from django.db import connection
from django.test import Client
from django_q.models import OrmQ

from bench.stage import Measured, Stage, seconds
from executions import listeners

_BODY = b'{"campaignID":"7311","channelID":505,"customerID":"C234638"}'


def measure(_stage: Stage, size: int) -> Measured:
    client, path = Client(SERVER_NAME="127.0.0.1"), listeners.open_listener(11).path
    work = seconds(lambda: _post(client, path, size))
    OrmQ.objects.all().delete()
    floor = seconds(lambda: _insert(size))
    return Measured("deliveries", size, work, floor, "one INSERT each")


def _post(client: Client, path: str, size: int) -> None:
    for _ in range(size):
        answer = client.post(path, _BODY, content_type="application/json")
        assert answer.status_code == 200


def _insert(size: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bare_deliveries (body bytea)")
        for _ in range(size):
            cursor.execute("INSERT INTO bare_deliveries VALUES (%s)", [_BODY])
