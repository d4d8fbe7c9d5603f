"""How the database is emptied after a test that committed: quickly, as there is little."""

from __future__ import annotations

from typing import Any
from weakref import ReferenceType

from django.core.management.commands import flush
from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.models.signals import post_migrate

from promoportal.db.state_counts import Census

# What migrating puts there, and what nearly every test leaves as it is.
_MADE = (
    "django_content_type",
    "auth_permission",
    "auth_group",
    "auth_group_permissions",
)
# Who makes that, told when migrating is over.
_MAKERS = {
    "django.contrib.auth.management",
    "django.contrib.contenttypes.management",
    "promoportal.admin.roles",
}
# More rows are not deleted: the table would keep the room they took, and its statistics.
_FEW = 1_000


class Command(flush.Command):
    """
    Django's own but for the usual case.

    That truncates each table, however empty, and makes every permission and role anew: a
    second where a few rows are to go. They are deleted instead, behind the same lock, so
    that whoever still writes is waited for.

    Nobody is told then as after migrating. That is right where whoever listens makes
    nothing but permissions and roles, which stay; so where somebody else does, and for
    another database than the default, it is done as Django does it.
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
    """The modules of those who are told when migrating is over."""
    receivers = (
        receiver() if isinstance(receiver, ReferenceType) else receiver
        for _, receiver, *_ in post_migrate.receivers
    )
    return {receiver.__module__ for receiver in receivers if receiver}


def _delete_few(as_made: str) -> bool:
    """Whether that was possible; if not, nothing was done."""
    tables = connection.introspection.django_table_names(
        only_existing=True, include_views=False
    )
    emptied = [name for name in tables if name not in _MADE]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        counts = _counts(emptied)
        if _made() != as_made or max(counts.values(), default=0) > _FEW:
            return False
        # Last of all the census, in which the database counts what is deleted.
        for name in [*counts, Census._meta.db_table]:
            cursor.execute(f'DELETE FROM "{name}"')  # noqa: S608
    return True


def _counts(tables: list[str]) -> dict[str, int]:
    """How many rows there are where there are any, as far as it matters."""
    counting = " UNION ALL ".join(
        f"SELECT '{name}', count(*) FROM (SELECT 1 FROM \"{name}\" LIMIT {_FEW + 1}) AS few"  # noqa: S608
        for name in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(counting)
        return {name: count for name, count in cursor.fetchall() if count}


def _made() -> str:
    """A digest of what migrating makes, to see whether it is as it was."""
    digests = ", ".join(
        f"(SELECT md5(string_agg(one::text, ',' ORDER BY id)) FROM \"{name}\" AS one)"  # noqa: S608
        for name in _MADE
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {digests}")
        return str(cursor.fetchone())
