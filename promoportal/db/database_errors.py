"""What is wrong with a database, from the error that it answered with."""

from __future__ import annotations

from django.db import ProgrammingError
from psycopg import errors


def database_error_message(error: Exception) -> str:
    """Return the sentence for a user about a database that cannot be used."""
    lines = str(error).strip().splitlines() or ["no reason was given"]
    return f"The database cannot be used: {lines[0].strip()}. Check DATABASE_URL."


def is_not_migrated(error: ProgrammingError) -> bool:
    """Whether a table or a column is missing, which `migrate` would make."""
    return isinstance(error.__cause__, errors.UndefinedTable | errors.UndefinedColumn)
