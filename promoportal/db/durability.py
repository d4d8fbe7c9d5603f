"""
Settings of the database with which committed data can be lost, or rules do not hold.

The server, the database, the role and the connection can each have such settings. So
they are read as they apply to a session of the portal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connections

# The values with which the portal's guarantees hold, by setting. `local` waits for the
# disk of this server only: after a failover, the portal treats the rest as lost.
_NEEDED: dict[str, tuple[str, ...]] = {
    "synchronous_commit": ("on", "local", "remote_write", "remote_apply"),
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "data_sync_retry": ("off",),
    "default_transaction_isolation": ("read committed",),
    "session_replication_role": ("origin", "local"),
}
_UNLOGGED = """
    SELECT relname FROM pg_class
    WHERE relkind = 'r' AND relpersistence = 'u' AND pg_table_is_visible(oid)
    ORDER BY relname
"""


@dataclass(frozen=True)
class Weakness:
    """A setting that breaks a guarantee, and what to do about it."""

    problem: str
    hint: str


def weaknesses(alias: str = "default") -> Iterator[Weakness]:
    """Yield each setting of this database with which the guarantees do not hold."""
    with connections[alias].cursor() as cursor:
        for name, allowed in _NEEDED.items():
            cursor.execute("SELECT current_setting(%s)", [name])
            [value] = cursor.fetchone()
            if value not in allowed:
                yield _setting(name, value, allowed[0])
        cursor.execute(_UNLOGGED)
        for (table,) in cursor.fetchall():
            yield Weakness(
                f"The table {table} is unlogged: a crash of the database empties it.",
                f"Run ALTER TABLE {table} SET LOGGED.",
            )


def _setting(name: str, value: str, needed: str) -> Weakness:
    return Weakness(
        f"The database has {name}={value}, with which the portal cannot guarantee that "
        "no reward is lost or activated twice.",
        f"Set {name} to {needed!r} for the server, the database, the role and in "
        "DATABASE_URL.",
    )
