from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now


def seconds_from_now(seconds: float) -> CombinedExpression:
    """Return an expression: the time of the database's clock plus `seconds`."""
    return Now() + timedelta(seconds=seconds)


def database_now() -> datetime:
    """Return the time of the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now
