"""
A clock that only the explorer moves: of one database, and of this process.

PostgreSQL has no such clock. So the explorer's database has functions with the names of
PostgreSQL's own ones, in a schema that it searches first. They read a sequence, which
all sessions see at once, also inside their transactions. The database must be migrated
after the functions were created: a default binds to a function when it is parsed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection

from promoportal.runtime import monotonic_clock

SCHEMA = "explorer_clock"
# The functions of PostgreSQL that return the time, with their volatility.
FUNCTIONS = {
    "now": "STABLE",
    "transaction_timestamp": "STABLE",
    "statement_timestamp": "STABLE",
    "clock_timestamp": "VOLATILE",
}
# The time at which each schedule begins.
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# `search_path` of the database. New tables belong to its first schema.
SEARCH_PATH = f"public, {SCHEMA}, pg_catalog"


def install() -> None:
    """Create the functions in the current database."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
        cursor.execute(f"CREATE SEQUENCE {SCHEMA}.microseconds")
        for name, volatility in FUNCTIONS.items():
            cursor.execute(
                f"CREATE FUNCTION {SCHEMA}.{name}() RETURNS timestamptz"
                f" LANGUAGE sql {volatility} AS $$ SELECT timestamptz 'epoch'"
                f" + last_value * interval '1 microsecond' FROM {SCHEMA}.microseconds $$"
            )
        # Rows in random order would make two runs of one schedule differ.
        cursor.execute(
            f"CREATE FUNCTION {SCHEMA}.random() RETURNS double precision"
            " LANGUAGE sql VOLATILE AS 'SELECT 0.5::double precision'"
        )


def use(database: str) -> None:
    """Let all sessions that begin from now on find the functions first."""
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{database}" SET search_path = {SEARCH_PATH}')


class VirtualClock:
    """The time of the database, and the seconds that passed for this process."""

    def __init__(self) -> None:
        self.now = START
        self.seconds = 1_000_000.0

    def __enter__(self) -> VirtualClock:
        monotonic_clock.drive(lambda: self.seconds)
        return self

    def __exit__(self, *_: object) -> None:
        monotonic_clock.drive(None)

    def set(self, now: datetime, seconds: float) -> None:
        """Set both clocks."""
        self.now, self.seconds = now, seconds
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT setval('{SCHEMA}.microseconds', %s)",
                [(now - _EPOCH) // _MICROSECOND],
            )

    def pass_time(self, duration: timedelta) -> None:
        """Let time pass for the database and for this process."""
        self.set(self.now + duration, self.seconds + duration.total_seconds())

    def step(self, duration: timedelta) -> None:
        """Set only the clock of the database forward."""
        self.set(self.now + duration, self.seconds)
