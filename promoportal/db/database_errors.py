from __future__ import annotations


def database_error_message(error: Exception) -> str:
    """Return a sentence about a database that cannot be used."""
    lines = str(error).strip().splitlines() or ["no error message"]
    return f"Cannot connect to the database: {lines[0].strip()}. Check DATABASE_URL."
