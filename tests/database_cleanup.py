"""Fast emptying of the database after a test that committed, as it has few rows."""

from __future__ import annotations

from typing import Any
from weakref import ReferenceType

from django.core.management.commands import flush
from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.models.signals import post_migrate

from promoportal.db.state_counts import Census

# Filled by migrations, and left unchanged by nearly every test.
_MADE = (
    "django_content_type",
    "auth_permission",
    "auth_group",
    "auth_group_permissions",
)
# The modules that fill these tables when migrations are complete.
_MAKERS = {
    "django.contrib.auth.management",
    "django.contrib.contenttypes.management",
    "promoportal.admin.roles",
}
# More rows are not deleted: the table would keep their space and its statistics.
_FEW = 1_000


class Command(flush.Command):
    """
    Django's own command, except in the usual case.

    That truncates each table, even if it is empty, and creates every permission and
    role again: a second for a few rows. Here they are deleted, behind the same lock, so
    that transactions that still write are waited for.

    No `post_migrate` is sent then. That is right if its receivers only create
    permissions and roles, which stay; with other receivers, or another database than
    the default, the command does what Django does.
    """

    _as_made = ""

    def handle(self, **options: Any) -> None:
        if not _is_usual(options):
            super().handle(**options)
        elif not _delete_few(self._as_made):
            super().handle(**options)
            self._as_made = _made()


def _is_usual(options: dict[str, Any]) -> bool:
    return (
        options["database"] == DEFAULT_DB_ALIAS
        and not options.get("reset_sequences", True)
        and _listeners() <= _MAKERS
    )


def _listeners() -> set[str]:
    """Return the modules of the receivers of `post_migrate`."""
    receivers = (
        receiver() if isinstance(receiver, ReferenceType) else receiver
        for _, receiver, *_ in post_migrate.receivers
    )
    return {receiver.__module__ for receiver in receivers if receiver}


def _delete_few(as_made: str) -> bool:
    """Delete all rows if there are few. Return False, with nothing deleted, if not."""
    tables = connection.introspection.django_table_names(
        only_existing=True, include_views=False
    )
    emptied = [name for name in tables if name not in _MADE]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        counts = _counts(emptied)
        if _made() != as_made or max(counts.values(), default=0) > _FEW:
            return False
        # The census last: the database counts the deletions in it.
        for name in [*counts, Census._meta.db_table]:
            cursor.execute(f'DELETE FROM "{name}"')  # noqa: S608
    return True


def _counts(tables: list[str]) -> dict[str, int]:
    """Return the number of rows of each table that has any, up to `_FEW` + 1."""
    counting = " UNION ALL ".join(
        f"SELECT '{name}', count(*) FROM (SELECT 1 FROM \"{name}\" LIMIT {_FEW + 1}) AS few"  # noqa: S608
        for name in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(counting)
        return {name: count for name, count in cursor.fetchall() if count}


def _made() -> str:
    """Return a digest of the rows from migrations, to detect changes."""
    digests = ", ".join(
        f"(SELECT md5(string_agg(one::text, ',' ORDER BY id)) FROM \"{name}\" AS one)"  # noqa: S608
        for name in _MADE
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {digests}")
        return str(cursor.fetchone())
