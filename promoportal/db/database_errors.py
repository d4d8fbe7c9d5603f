"""Messages and causes of database errors."""

from __future__ import annotations

from django.db import ProgrammingError
from psycopg import errors


def database_error_message(error: Exception) -> str:
    """Return a sentence about a database that cannot be used."""
    lines = str(error).strip().splitlines() or ["no error message"]
    return f"Cannot connect to the database: {lines[0].strip()}. Check DATABASE_URL."


def is_not_migrated(error: ProgrammingError) -> bool:
    """Return whether the error is a missing table or column, as before `migrate`."""
    return isinstance(error.__cause__, errors.UndefinedTable | errors.UndefinedColumn)
