"""The error message of a command if the database is not migrated."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection

from promoportal.management.base_command import PortalCommand

pytestmark = pytest.mark.django_db


class SqlCommand(PortalCommand):
    """A command that executes an SQL statement."""

    requires_migrations_checks = False
    sql = ""

    def handle(self, *args: Any, **options: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(self.sql)


def execute(sql: str) -> None:
    command = SqlCommand(stdout=StringIO())
    command.sql = sql
    call_command(command)


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1 FROM not_made_yet", "SELECT not_made_yet FROM django_migrations"],
)
def test_a_missing_table_or_column_is_reported_with_the_command_to_migrate(
    sql: str,
) -> None:
    with pytest.raises(CommandError, match=r"Run `manage\.py migrate`"):
        execute(sql)


@pytest.mark.parametrize("sql", ["SELECT no_function()", "SELECT FROM FROM"])
def test_any_other_sql_error_is_raised_unchanged(sql: str) -> None:
    with pytest.raises(ProgrammingError):
        execute(sql)
